"""Reads a checkout's history: commits that changed code together with its tests.

It must not run anything of the repository, and never changes the checkout.
"""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from toprope.forge.repository.places import is_code, is_test
from toprope.terms import TopropeError

_TRAILER = re.compile(r"^[A-Z][a-z]+(?:-[a-z]+)+: .*$|^\(cherry picked from .*$", re.MULTILINE)
_MOST_FILES = 8


class NoHistory(TopropeError):
    """There are no commits to make tasks from; the message says why."""


@dataclass(frozen=True)
class Commit:
    """One commit: what it says, when, and the Python files it changed (M) or added (A).

    `graders` are the test files that may judge it, all of `tests` unless some were named.
    """

    id: str
    date: str
    message: str
    code: dict[str, str]
    tests: dict[str, str]
    graders: tuple[str, ...]


@dataclass(frozen=True)
class History:
    """The usable commits, the oldest first, and why the others are not: a word for each."""

    commits: tuple[Commit, ...]
    unusable: Counter[str]


def read_history(folder: Path, tests: Sequence[str] = ()) -> History:
    """Return what a checkout's commits are good for; with `tests`, only those below these paths.

    Raises `NoHistory` where no commit is usable.
    """
    if _git(folder, "rev-parse", "--git-dir") is None:
        raise NoHistory(f"{folder} is no git checkout, so it has no commits to make tasks from")
    if _git(folder, "rev-parse", "--is-shallow-repository") == "true\n":
        raise NoHistory(f"{folder} is a shallow clone; `git -C {folder} fetch --unshallow` first")
    told = _git(folder, "log", "--no-merges", "--format=%H %cI", "--", ".") or ""
    lines = list(reversed(told.splitlines()))
    found = [_judged(folder, line, tests) for line in lines]
    usable = tuple(commit for commit in found if isinstance(commit, Commit))
    unusable = Counter(word for word in found if isinstance(word, str))
    if not usable:
        words = ", ".join(f"{count} {word}" for word, count in unusable.most_common())
        raise NoHistory(
            f"none of {len(lines)} commits changed code together with tests ({words or 'none'}); "
            "--from injected puts bugs in instead"
        )
    return History(usable, unusable)


def files_at(folder: Path, commit: str) -> dict[str, str]:
    """Return all files of the folder as they were at a commit; links and modules left out."""
    listed = (_git(folder, "ls-tree", "-r", "-z", commit, ".") or "").split("\0")
    wanted = {}
    for entry in listed:
        mode, _, rest = entry.partition(" ")
        name, _, path = rest.partition("\t")
        if mode in ("100644", "100755"):
            wanted[path] = name.split()[1]
    return dict(zip(wanted, _contents(folder, list(wanted.values())), strict=True))


def _judged(folder: Path, line: str, wanted: Sequence[str]) -> Commit | str:
    """The commit, or the word for why it is not usable."""
    name, _, date = line.partition(" ")
    told = _git(folder, "diff-tree", "--root", "--relative", "-r", "-z", "--no-commit-id",
                "--name-status", "--no-renames", name) or ""  # fmt: skip
    words = told.split("\0")
    changed = dict(zip(words[1::2], words[::2], strict=False))
    python = {path: kind for path, kind in changed.items() if path.endswith(".py")}
    # What sets up is left as the commit made it: no attempt may change it.
    code = {path: kind for path, kind in python.items() if is_code(path)}
    tests = {path: kind for path, kind in python.items() if is_test(path)}
    graders = tuple(path for path in tests if not wanted or _below(path, wanted))
    for unfit, word in (
        (not python, "changed no Python"),
        (not tests, "changed no tests"),
        ("M" not in code.values(), "changed no code that was there"),
        (not set(python.values()) <= {"A", "M"}, "deleted or moved files"),
        (len(python) > _MOST_FILES, f"changed more than {_MOST_FILES} Python files"),
        (not graders, "changed none of the tests that were named"),
    ):
        if unfit:
            return word
    message = _git(folder, "show", "-s", "--format=%B", name) or ""
    return Commit(name, date, _TRAILER.sub("", message).strip(), code, tests, graders)


def _below(path: str, places: Sequence[str]) -> bool:
    named = [place.partition("::")[0].rstrip("/") for place in places]
    return any(path == place or path.startswith(f"{place}/") for place in named)


def _contents(folder: Path, blobs: list[str]) -> Iterator[str]:
    done = subprocess.run(
        ["git", "-C", str(folder), "cat-file", "--batch"],
        input="\n".join(blobs).encode() + b"\n",
        capture_output=True,
        check=True,
    )
    data, at = done.stdout, 0
    for _ in blobs:
        end = data.index(b"\n", at)
        size = int(data[at:end].split()[2])
        yield data[end + 1 : end + 1 + size].decode("utf-8", "surrogateescape")
        at = end + 1 + size + 1


def _git(folder: Path, *words: str) -> str | None:
    command = ["git", "-C", str(folder), "-c", "core.quotePath=false", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else None

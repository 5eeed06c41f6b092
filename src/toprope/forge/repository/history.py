"""Reads a checkout's history: commits that changed code together with its tests.

It must not run anything of the repository, and never changes the checkout.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from toprope.forge.repository.sites import is_test
from toprope.terms import TopropeError

_TRAILER = re.compile(r"^[A-Z][a-z]+(?:-[a-z]+)+: .*$|^\(cherry picked from .*$", re.MULTILINE)
_MOST_FILES = 8


class NoHistory(TopropeError):
    """There are no commits to make tasks from; the message says why."""


@dataclass(frozen=True)
class Commit:
    """One commit: what it says, when, and the Python files it changed (M) or added (A)."""

    id: str
    date: str
    message: str
    code: dict[str, str]
    tests: dict[str, str]


def commits(folder: Path) -> list[Commit]:
    """Return the usable commits, the oldest first; raises `NoHistory` where there are none."""
    if _git(folder, "rev-parse", "--git-dir") is None:
        raise NoHistory(f"{folder} is no git checkout, so it has no commits to make tasks from")
    told = _git(folder, "log", "--no-merges", "--format=%H %cI", "--", ".") or ""
    found = [commit for line in reversed(told.splitlines()) for commit in _usable(folder, line)]
    if not found:
        raise NoHistory(
            f"none of {len(told.splitlines())} commits changed code and tests together "
            f"(Python files, at most {_MOST_FILES} of them, none deleted)"
        )
    return found


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


def _usable(folder: Path, line: str) -> Iterator[Commit]:
    name, _, date = line.partition(" ")
    told = _git(folder, "diff-tree", "--root", "--relative", "-r", "-z", "--no-commit-id",
                "--name-status", "--no-renames", name) or ""  # fmt: skip
    words = told.split("\0")
    changed = dict(zip(words[1::2], words[::2], strict=False))
    python = {path: kind for path, kind in changed.items() if path.endswith(".py")}
    code = {path: kind for path, kind in python.items() if not is_test(path)}
    tests = {path: kind for path, kind in python.items() if is_test(path)}
    usable = "M" in code.values() and tests and set(python.values()) <= {"A", "M"}
    if usable and len(python) <= _MOST_FILES:
        message = _git(folder, "show", "-s", "--format=%B", name) or ""
        yield Commit(name, date, _TRAILER.sub("", message).strip(), code, tests)


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

"""Brings a verified change to the user: as a diff, or into the repository's own files.

Nothing is written but what was asked for, and each file whole or not at all.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from toprope.solve.attempts import Proposal
from toprope.tasks.diffs import make_diff
from toprope.terms import TopropeError


class NotApplied(TopropeError):
    """The change was not written into the repository; the message says why and what to do."""


def diff_of(start: Mapping[str, str], changes: Mapping[str, str]) -> str:
    """Return the unified diff of the changed files, in git's form."""
    return make_diff({path: start[path] for path in changes if path in start}, changes)


def added(proposal: Proposal) -> list[str]:
    """Return the lines that a proposal adds, without their indent."""
    lines = diff_of(proposal.task.start(), proposal.real).split("\n")
    return [line[1:].strip() for line in lines if line[:1] == "+" and line[:3] != "+++"]


def write_patch(folder: Path, start: Mapping[str, str], changes: Mapping[str, str],
                out: Path) -> None:  # fmt: skip
    """Write the diff to the file `out`, whole or not at all, for `git apply` in the folder."""
    above = _prefix(folder)
    old = {above + path: text for path, text in start.items() if path in changes}
    _put(out, diff_of(old, {above + path: text for path, text in changes.items()}))


def refuse_dirty(folder: Path) -> None:
    """Raise `NotApplied` unless git could take back whatever is written into the folder."""
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no", ".").strip()
    if changed:
        first = changed.split("\n")[0]
        raise NotApplied(
            f"{folder} has changes that are not committed ({first}); commit or stash them, write "
            "a patch with --out FILE, or add --force"
        )


def apply(folder: Path, start: Mapping[str, str], changes: Mapping[str, str]) -> None:
    """Write the changed files into the folder, each at once, its permissions kept.

    Raises `NotApplied`, before anything is written, if one is not as it was when work began.
    """
    for path in changes:
        place = folder / path
        before = start.get(path)
        real = place.resolve().is_relative_to(folder.resolve())
        if place.is_symlink() or not real or _text(place) != before:
            raise NotApplied(
                f"{place} has changed since work began, so nothing was applied; run the command "
                "again, or write a patch with --out FILE"
            )
    for path, text in changes.items():
        _put(folder / path, text)


def _prefix(folder: Path) -> str:
    """Where the folder lies in its checkout: git reads the paths of a diff from the top."""
    try:
        return _git(folder, "rev-parse", "--show-prefix").removesuffix("\n")
    except NotApplied:
        return ""


def _git(folder: Path, *words: str) -> str:
    """What git says about the folder; raises `NotApplied` where it is no checkout."""
    command = ["git", "-C", str(folder), *words]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        raise NotApplied(
            f"{folder} is no git checkout, so --apply could not be taken back; write a patch "
            "with --out FILE, or add --force"
        ) from None


def _text(place: Path) -> str | None:
    if not place.is_file():
        return None
    return place.read_bytes().decode("utf-8", "surrogateescape")


def _put(place: Path, text: str) -> None:
    """Write a file aside and rename it into its place."""
    place.parent.mkdir(parents=True, exist_ok=True)
    handle, aside = tempfile.mkstemp(dir=place.parent, prefix=f".{place.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(text.encode("utf-8", "surrogateescape"))
        if place.exists():
            shutil.copymode(place, aside)
        else:
            os.chmod(aside, 0o666 & ~_umask())
        os.replace(aside, place)
    except BaseException:
        Path(aside).unlink(missing_ok=True)
        raise


def _umask() -> int:
    """The process's mask, which can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask

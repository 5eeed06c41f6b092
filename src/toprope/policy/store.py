"""Where models lie on this disk, and how they get there whole or not at all.

A file or folder is written beside its place, flushed, and renamed into it, under a lock
per name, so that a kill, a full disk or a second process leaves nothing half-written.
Knows paths and bytes only.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from toprope.terms import TopropeError

_BLOCK = 1 << 22


class DiskFull(TopropeError):
    """There is not enough room; nothing was left half-written."""


def models_folder() -> Path:
    """The folder that holds all models: `$TOPROPE_CACHE/models`, else `~/.cache/toprope/models`."""
    root = os.environ.get("TOPROPE_CACHE") or "~/.cache/toprope"
    return Path(root).expanduser() / "models"


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def require_space(folder: Path, size: int) -> None:
    """Raise `DiskFull` before anything is downloaded that could not be stored."""
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < size:
        raise DiskFull(
            _full_message(folder, f"{megabytes(size)} are needed, {megabytes(free)} free")
        )


def megabytes(size: int) -> str:
    """A size for people: "98.4 MB"."""
    return f"{size / 1e6:,.1f} MB"


@contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Turn "no space left" from whatever wrote below `folder` into `DiskFull`."""
    try:
        yield
    except Exception as error:
        if means_full(error):
            raise DiskFull(_full_message(folder, "the disk ran full")) from error
        raise


@contextmanager
def locked(place: Path) -> Iterator[None]:
    """Hold the lock of one model's place; a second process waits here."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with (place.parent / f".{place.name}.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


@contextmanager
def staged(place: Path) -> Iterator[Path]:
    """Yield an empty folder that becomes `place` when the block ends well.

    With an error or an interrupt the folder disappears and `place` stays as it was. What
    a killed process left behind is removed by the next one (callers hold `locked`).
    """
    with _scratch(place) as scratch:
        stage = scratch / place.name
        stage.mkdir()
        yield stage
        _flush_tree(stage)
        _swap(stage, place, scratch)


@contextmanager
def staged_file(place: Path) -> Iterator[Path]:
    """Like `staged`, for a single file: yield the path to write."""
    with _scratch(place) as scratch:
        stage = scratch / place.name
        yield stage
        _flush(stage)
        os.replace(stage, place)
        _flush(place.parent)


@contextmanager
def _scratch(place: Path) -> Iterator[Path]:
    place.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{place.name}.part-"
    for leftover in place.parent.glob(f"{prefix}*"):
        shutil.rmtree(leftover, ignore_errors=True)
    scratch = Path(tempfile.mkdtemp(prefix=prefix, dir=place.parent))
    try:
        with disk_errors(place.parent):
            yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _swap(stage: Path, place: Path, scratch: Path) -> None:
    # a folder cannot be renamed onto a full one: the old one steps aside first
    if place.is_symlink():
        place.unlink()
    elif place.exists():
        os.replace(place, scratch / "retired")
    os.replace(stage, place)
    _flush(place.parent)


def _flush_tree(folder: Path) -> None:
    for path in folder.rglob("*"):
        _flush(path)
    _flush(folder)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def means_full(error: BaseException) -> bool:
    """Whether an error, whoever raised it, says that the disk is full."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    # safetensors and pip report the condition only as text
    return "no space left on device" in str(error).lower()


def _full_message(folder: Path, what: str) -> str:
    return (
        f"{what} at {folder}; nothing was left half-written. "
        "Free some space, or set TOPROPE_CACHE to a folder on a larger disk, and run this again"
    )

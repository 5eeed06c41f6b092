"""What has changed in a workspace since a first look, told exactly and within bounds.

Only regular files count: one that became a link, a folder or a FIFO is gone. What Python
compiles for itself is no change.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator

from . import files

MOST_FILES = 10_000
MOST_BYTES = 16 << 20
_LONGEST_PATH = 4096
_COMPILED = "__pycache__"
_PART = 1 << 20
# What another process may make of a file or folder between its listing and its opening.
_SWAPPED = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO, errno.EISDIR)


class TooMuch(Exception):
    """More has changed than is told."""


def digest(content: bytes) -> bytes:
    """What stands for a file's content where two are compared."""
    return hashlib.sha256(content).digest()


def digests(root: int) -> dict[str, bytes]:
    """The digest of every regular file below the folder `root`, by path."""
    return {path: _digest_of(file) for path, file in _regular_files(root)}


def since(root: int, before: dict[str, bytes]) -> dict[str, bytes | None]:
    """What differs from the `digests` of before; None for what is no regular file any more.

    Raises `TooMuch`, or `files.Refused` for a file or folder that cannot be read.
    """
    found: dict[str, bytes | None] = {}
    seen, size = set(), 0
    for path, file in _regular_files(root):
        seen.add(path)
        if before.get(path) != _digest_of(file):
            found[path] = content = os.pread(file, MOST_BYTES + 1, 0)
            size += len(content)
            _bound(len(found), size)
    found.update(dict.fromkeys(path for path in before if path not in seen))
    _bound(len(found), size)
    return found


def _bound(count: int, size: int) -> None:
    if count > MOST_FILES:
        raise TooMuch(f"more than {MOST_FILES} files have changed")
    if size > MOST_BYTES:
        raise TooMuch(f"more than {MOST_BYTES >> 20} MB of files have changed")


def _digest_of(file: int) -> bytes:
    total = hashlib.sha256()
    while part := os.read(file, _PART):
        total.update(part)
    return total.digest()


def _regular_files(root: int) -> Iterator[tuple[str, int]]:
    """Each path with a descriptor that is open until the next."""
    pending = [""]
    while pending:
        above = pending.pop()
        if len(above) > _LONGEST_PATH:
            raise files.Refused(f"{above[:60]}... lies too deep")
        try:
            folder = files.descend(root, above.split("/") if above else [])
        except OSError as error:
            if error.errno in _SWAPPED:
                continue
            raise files.refusal(above or ".", error) from error
        try:
            with os.scandir(folder) as listing:
                entries = list(listing)
            for entry in entries:
                path = f"{above}/{entry.name}" if above else entry.name
                if entry.is_dir(follow_symlinks=False):
                    if entry.name == _COMPILED:
                        continue
                    pending.append(path)
                elif entry.is_file(follow_symlinks=False):
                    yield from _opened(folder, entry.name, path)
        finally:
            os.close(folder)


def _opened(folder: int, name: str, path: str) -> Iterator[tuple[str, int]]:
    try:
        file = files.open_regular(folder, name)
    except OSError as error:
        if error.errno in _SWAPPED:
            return
        raise files.refusal(path, error) from error
    try:
        yield path, file
    finally:
        os.close(file)

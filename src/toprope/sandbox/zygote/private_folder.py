"""The folder below which a worker without namespaces keeps its jobs' files, from start to end."""

from __future__ import annotations

import contextlib
import os
import tempfile

from . import wipe

_MEMORY, _DISKS = "/dev/shm", ("/tmp", "/var/tmp")
_ENOUGH = 1 << 30  # bytes free, or files go to a disk
_NO_EXECUTION = 8  # in statvfs's flags


def make() -> str:
    """A fresh folder that only this worker's user enters, in memory if there is room."""
    places = [place for place in (_MEMORY, *_DISKS) if place != _MEMORY or _roomy(place)]
    for place in places:
        with contextlib.suppress(OSError):
            return os.path.realpath(tempfile.mkdtemp(prefix="toprope-", dir=place))
    raise OSError(0, f"none of {', '.join(places)} can be written")


def _roomy(place: str) -> bool:
    try:
        found = os.statvfs(place)
    except OSError:
        return False
    return found.f_bavail * found.f_frsize >= _ENOUGH and not found.f_flag & _NO_EXECUTION


def remove(folder: str) -> None:
    """Remove it with all below; does nothing where somebody else has done it."""
    with contextlib.suppress(OSError):
        wipe.wipe(folder)
        os.rmdir(folder)

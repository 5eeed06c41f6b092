"""Reads files of a /proc that is held open by a descriptor; jobs see none."""

from __future__ import annotations

import os


def read(proc: int, name: str, most: int = 1000) -> bytes:
    """The beginning of a file below /proc; empty when its process has just ended.

    The kernel gives some files a page at a time: those are read on, up to `most` bytes.
    """
    try:
        file = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=proc)
    except OSError:
        return b""
    found = b""
    try:
        while len(found) < most:
            part = os.read(file, most - len(found))
            found += part
            if not part:
                break
        return found
    except OSError:
        return found
    finally:
        os.close(file)

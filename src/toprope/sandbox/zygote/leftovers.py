"""Outputs of ended commands that something in the background still writes to.

They are read on and dropped, a little at a time, so that a server which logs is neither
blocked nor broken, and one that floods has to wait.
"""

from __future__ import annotations

import os

_MOST = 32
_PART = 1 << 16
_PARTS = 4


class Leftovers:
    """Reading ends of pipes; of too many the oldest is closed."""

    def __init__(self) -> None:
        self._fds: list[int] = []

    def keep(self, fd: int) -> None:
        """Take over a reading end."""
        os.set_blocking(fd, False)
        self._fds.append(fd)
        if len(self._fds) > _MOST:
            os.close(self._fds.pop(0))

    def drain(self) -> None:
        """Read what has come, up to a bound, and close what nobody writes to any more."""
        for fd in list(self._fds):
            if not self._drained(fd):
                self._fds.remove(fd)
                os.close(fd)

    def close(self) -> None:
        """Close all."""
        while self._fds:
            os.close(self._fds.pop())

    @staticmethod
    def _drained(fd: int) -> bool:
        try:
            return all(os.read(fd, _PART) for _ in range(_PARTS))
        except BlockingIOError:
            return True

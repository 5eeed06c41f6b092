"""What is kept of a pipe whose length nobody can vouch for."""

from __future__ import annotations

from typing import Protocol


class Buffer(Protocol):
    """Takes parts in order; `full` says that no more can be taken."""

    bound: int
    full: bool

    def add(self, part: bytes) -> None:
        """Take the next part."""

    def content(self) -> bytes:
        """What was kept."""


class Whole:
    """Keeps everything up to its bound; more than that makes it full."""

    def __init__(self, bound: int) -> None:
        self.bound = bound
        self.full = False
        self._kept = bytearray()

    def add(self, part: bytes) -> None:
        """Take the next part, as far as it fits."""
        self._kept += part
        if len(self._kept) > self.bound:
            self.full = True
            del self._kept[self.bound :]

    def content(self) -> bytes:
        """The bytes so far, at most `bound`."""
        return bytes(self._kept)


class Clipped:
    """Keeps the first and the last half of its bound, and says what it left out between."""

    def __init__(self, bound: int) -> None:
        self.bound = bound
        self.full = False
        self._head = bytearray()
        self._tail = bytearray()
        self._taken = 0

    def add(self, part: bytes) -> None:
        """Take the next part; it is never full."""
        self._taken += len(part)
        room = self.bound // 2 - len(self._head)
        self._head += part[:room]
        self._tail += part[room:]
        if len(self._tail) > 2 * self.bound:  # seldom, because it moves what is kept
            self._trim()

    def content(self) -> bytes:
        """All of it, or the two halves around a line with the number of bytes left out."""
        self._trim()
        left_out = self._taken - len(self._head) - len(self._tail)
        line = b"\n[... %d bytes left out ...]\n" % left_out if left_out else b""
        return bytes(self._head) + line + bytes(self._tail)

    def _trim(self) -> None:
        most = self.bound - self.bound // 2
        if len(self._tail) > most:
            del self._tail[: len(self._tail) - most]

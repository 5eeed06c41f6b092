"""Watches one running job from outside its room: output, memory, time, and its end.

Also what the sandbox without walls uses, so it takes its measures as plain functions
and knows of no namespace.
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .buffers import Buffer, Clipped, Whole

TICK_S = 0.02
_PART = 1 << 16
_MOST_PARTS = 64  # read of a pipe that nobody should write to any more


class Abandoned(Exception):
    """Nobody waits for this job's answer any more."""


@dataclass(frozen=True)
class Excess:
    """Why a job is stopped: `status` is "timeout" or "limit"."""

    status: str
    why: str


@dataclass(frozen=True)
class Gathered:
    """What a job left in its pipes, and why it was stopped (None if it ended by itself)."""

    pipes: dict[str, bytes]
    stopped: Excess | None = None


def collect(
    pipes: dict[str, int],
    limits: dict[str, Any],
    excess: Callable[[], Excess | None],
    hangup: int | None = None,
) -> Gathered:
    """Read the named pipes until all end or a limit is passed; the caller kills the job."""
    gatherer = Gatherer(pipes, limits["output_bytes"])
    stopped = gatherer.follow(limits["wall_s"], excess, hangup)
    return Gathered(gatherer.contents(), stopped)


class Gatherer:
    """Reads named pipes; of those `clipped`, what is too much is left out instead of refused."""

    def __init__(self, pipes: dict[str, int], bound: int, clipped: Sequence[str] = ()) -> None:
        self._open = {fd: name for name, fd in pipes.items()}
        self._buffers: dict[str, Buffer] = {
            name: Clipped(bound) if name in clipped else Whole(bound) for name in pipes
        }

    def follow(
        self,
        seconds: float,
        excess: Callable[[], Excess | None],
        hangup: int | None = None,
        until: str | None = None,
    ) -> Excess | None:
        """Read until all pipes end (or the one named `until`), or return the limit passed.

        `excess` says which limit the job passes at this moment. `hangup` is a descriptor that
        becomes readable only when nobody waits for the answer (`Abandoned`).
        """
        poller = select.poll()
        for fd in (*self._open, *([] if hangup is None else [hangup])):
            poller.register(fd, select.POLLIN)
        now = time.monotonic()
        deadline, next_look = now + seconds, now + TICK_S
        while not self._ended(until):
            for fd, _ in poller.poll(max(0.0, min(next_look, deadline) - now) * 1000):
                if fd == hangup:
                    raise Abandoned
                if not self._read(fd):
                    poller.unregister(fd)
            now = time.monotonic()
            stopped = self._overflow()
            if not stopped and not self._ended(until) and now >= next_look:
                next_look = now + TICK_S
                stopped = excess()
            if not stopped and not self._ended(until) and now >= deadline:
                stopped = Excess("timeout", f"still running after {seconds:g} s")
            if stopped:
                return stopped
        return None

    def drain(self, name: str) -> int | None:
        """Read what a pipe holds now; returns its descriptor while somebody may still write."""
        for fd in [fd for fd, known in self._open.items() if known == name]:
            poller = select.poll()
            poller.register(fd, select.POLLIN)
            for _ in range(_MOST_PARTS):
                if not poller.poll(0):
                    return fd
                if not self._read(fd):
                    return None
            return fd
        return None

    def drop(self, name: str) -> None:
        """Read no more of a pipe."""
        self._open = {fd: known for fd, known in self._open.items() if known != name}
        self._buffers[name].full = False

    def contents(self) -> dict[str, bytes]:
        """What was read so far, by name."""
        return {name: buffer.content() for name, buffer in self._buffers.items()}

    def _read(self, fd: int) -> bool:
        part = os.read(fd, _PART)
        self._buffers[self._open[fd]].add(part)
        if not part:
            del self._open[fd]
        return bool(part)

    def _ended(self, until: str | None) -> bool:
        return not self._open if until is None else until not in self._open.values()

    def _overflow(self) -> Excess | None:
        for name, buffer in self._buffers.items():
            if buffer.full:
                return Excess("limit", f"more than {buffer.bound} bytes of {name}")
        return None

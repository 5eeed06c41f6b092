"""Watches one running job from outside its room: output, memory, time, and its end.

`collect` is also what the sandbox without walls uses, so it takes its measures as plain
functions and knows of no namespace.
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

TICK_S = 0.02


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
    """Read the named pipes until all end or a limit is passed; the caller kills the job.

    `excess` says which limit the job passes at this moment. `hangup` is a descriptor that
    becomes readable only when nobody waits for the answer (`Abandoned`).
    """
    buffers = {name: bytearray() for name in pipes}
    names = {fd: name for name, fd in pipes.items()}
    poller = select.poll()
    for fd in (*names, *([] if hangup is None else [hangup])):
        poller.register(fd, select.POLLIN)
    now = time.monotonic()
    deadline, next_look = now + limits["wall_s"], now + TICK_S
    stopped: Excess | None = None
    while names and not stopped:
        for fd, _ in poller.poll(max(0.0, min(next_look, deadline) - now) * 1000):
            if fd == hangup:
                raise Abandoned
            part = os.read(fd, 1 << 16)
            buffers[names[fd]] += part
            if not part:
                poller.unregister(fd)
                del names[fd]
        now = time.monotonic()
        stopped = _overflow(buffers, limits["output_bytes"])
        if names and not stopped and now >= next_look:
            next_look = now + TICK_S
            stopped = excess()
        if names and not stopped and now >= deadline:
            stopped = Excess("timeout", f"still running after {limits['wall_s']:g} s")
    return Gathered({name: bytes(buffer) for name, buffer in buffers.items()}, stopped)


def _overflow(buffers: dict[str, bytearray], bound: int) -> Excess | None:
    for name, buffer in buffers.items():
        if len(buffer) > bound:
            del buffer[bound:]
            return Excess("limit", f"more than {bound} bytes of {name}")
    return None

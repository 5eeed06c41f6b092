"""The worker's hold on the room of a session: how a keeper makes it, counts in it, and ends it.

`Hold` is what a keeper needs of any wall; the one here is that of namespaces.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from . import procfs, rooms, usage
from .watch import Excess

STATUS = ("status",)


class Hold(Protocol):
    """One room, from its first process to its end."""

    def make(self, live: Callable[[dict[str, int]], Any]) -> dict[str, int]:
        """Start its first process, which does `live` with a status pipe; returns our end.

        Raises OSError if it cannot be started.
        """

    def end(self) -> None:
        """End every process of the room."""

    def census(self) -> list[usage.Process]:
        """Its processes, of which the first is one."""

    def watchdog(self) -> Callable[[], Excess | None]:
        """A function that says which limit is passed; of time, what is used from now on."""

    def last_look(self) -> Excess | None:
        """What a command that has ended by itself left beyond the limits."""

    def leader(self, told: int) -> int | None:
        """The worker's number for a process that the room calls `told`; None if it is gone."""

    def bounds(self) -> dict[str, Any]:
        """What a request has to say of the machine as it is now."""


class NamespaceHold:
    """A room in namespaces of its own; `proc` is a handle on the worker's /proc."""

    def __init__(self, proc: int, limits: dict[str, Any]) -> None:
        self.proc = proc
        self.limits = limits

    def make(self, live: Callable[[dict[str, int]], Any]) -> dict[str, int]:
        """Clone the first process into fresh namespaces."""
        self.pid, reading = rooms.make(STATUS, live)
        return reading

    def end(self) -> None:
        """Kill the first process, and the kernel the others."""
        rooms.end(self.pid)

    def census(self) -> list[usage.Process]:
        """All that the worker sees but itself."""
        return usage.census(self.proc)

    def watchdog(self) -> Callable[[], Excess | None]:
        """See `Hold`."""
        return usage.watchdog(self.proc, self.limits, usage.seconds(self.proc))

    def last_look(self) -> Excess | None:
        """Nothing: the kernel bounds the disk."""
        return None

    def leader(self, told: int) -> int | None:
        """Find it by the number that it has inside."""
        for process in self.census():
            status = procfs.read(self.proc, f"{process.pid}/status", 1 << 14)
            lines = [line.split()[1:] for line in status.splitlines() if line.startswith(b"NSpid:")]
            if lines and lines[0][-1] == str(told).encode():
                return process.pid
        return None

    def bounds(self) -> dict[str, Any]:
        """Nothing: the kernel counts the processes of a namespace's user."""
        return {}

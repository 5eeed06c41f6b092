"""The processes that one command of a session started, and their end.

They are the command's leader, all that descend from it, and all in login sessions that
these made: so a change of group does not hide a process, only what has detached itself
as a daemon does. Seen from the worker, in the worker's process ids.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable

from . import usage


class Family:
    """What descends from `leader`, among all that `census` finds; nobody without a leader."""

    def __init__(self, census: Callable[[], list[usage.Process]], leader: int | None) -> None:
        self.census = census
        self._known = {leader} if leader else set()
        self._sessions = set(self._known)

    def kill(self) -> int:
        """End those that live; returns how many did, which is 0 once all are gone."""
        alive = self._alive()
        for process in alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        return len(alive)

    def _alive(self) -> list[usage.Process]:
        others = {process.pid: process for process in self.census()}
        while found := [process for process in others.values() if self._belongs(process)]:
            for process in found:
                self._known.add(process.pid)
                if process.session == process.pid:
                    self._sessions.add(process.pid)
                del others[process.pid]
        ours = [process for process in self.census() if process.pid in self._known]
        return [process for process in ours if process.state not in "ZX"]

    def _belongs(self, process: usage.Process) -> bool:
        known = self._known
        return process.pid in known or process.parent in known or process.session in self._sessions

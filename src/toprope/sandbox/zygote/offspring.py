"""Everything that descends from a process, found without a namespace of its own, and its end.

A process that loses its parent becomes the child of the next ancestor that asked for that, so
nothing leaves the family: as long as there is a descendant, there is a child to wait for.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time

from . import kernel, procfs, usage

_PATIENCE_S = 5.0
_PAUSE_S = 0.001


class Offspring:
    """The descendants of the process `root`, by default this one; `proc` is a handle on /proc."""

    def __init__(self, proc: int, root: int = 0) -> None:
        self.proc = proc
        self.root = root or os.getpid()

    def census(self) -> list[usage.Process]:
        """Every descendant that exists now, also those that have ended and were not taken."""
        found, pending = [], self._children(self.root)
        while pending:
            pid = pending.pop()
            process = usage.process(self.proc, str(pid))
            if process:
                found.append(process)
                pending += self._children(pid)
        return found

    def end(self) -> None:
        """Kill all until none is left; only for this process's own. Raises OSError in vain.

        Who is dead is taken leave of only when all are: until then they count against the
        limit on processes, so that nothing can multiply faster than it is killed.
        """
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            alive = [process for process in self.census() if process.state not in "ZX"]
            for process in alive:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGKILL)
            if not alive and not reap():
                return
            if time.monotonic() > deadline:
                raise OSError(0, f"{len(alive)} processes of a job could not be ended")
            if not alive:
                time.sleep(_PAUSE_S)

    def _children(self, pid: int) -> list[int]:
        try:
            threads = os.listdir(f"/proc/{pid}/task")
        except OSError:
            return []
        found: list[int] = []
        for thread in threads:
            listed = procfs.read(self.proc, f"{pid}/task/{thread}/children", 1 << 16)
            found += [int(number) for number in listed.split()]
        return found


def adopt() -> None:
    """Become the parent of every descendant that loses its own."""
    kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)


def reap() -> bool:
    """Take leave of every child that has ended; returns whether others are left."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True

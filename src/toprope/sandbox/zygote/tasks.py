"""How many processes the kernel is told to let a job's user have.

A user that only this worker has is counted exactly. An ordinary user's other processes are
counted too, also those that this worker cannot see: then the bound is only what keeps a bomb
from growing faster than it is killed, and the watchdog does the counting.
"""

from __future__ import annotations

import os
import resource
import time

from . import procfs, usage

_OURS = 3  # guard, worker and a room's first process
_SPARE = 128  # for what the user starts meanwhile, other workers' jobs among it
_UNSEEN = (0, 256, 1024, 4096, 16384)
_LASTS_S = 1.0


class Counter:
    """Says what RLIMIT_NPROC a job gets."""

    def __init__(self, proc: int, alone: bool) -> None:
        self.proc = proc
        self.alone = alone
        self._seen, self._at = 0, -_LASTS_S
        self._unseen = 0 if alone else self._find_unseen()

    def most(self, processes: int) -> int | None:
        """The bound for a job that may have so many processes; None if the kernel cannot count."""
        hard = resource.getrlimit(resource.RLIMIT_NPROC)[1]
        if self.alone:
            wanted = processes + _OURS
        elif self._unseen is None:
            return None
        else:
            wanted = self._unseen + self._count() + processes + _SPARE
        return wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)

    def _find_unseen(self) -> int | None:
        """The number of the user's processes beyond those seen, roughly and from above."""
        return next((more for more in _UNSEEN if _can_fork(self._count() + more + _SPARE)), None)

    def _count(self) -> int:
        """The threads of this user that can be seen, counted at most once a second."""
        if time.monotonic() - self._at > _LASTS_S:
            names = [name for name in os.listdir(self.proc) if name.isdigit()]
            found = (usage.process(self.proc, name) for name in names if _own(self.proc, name))
            self._seen = sum(process.threads for process in found if process)
            self._at = time.monotonic()
        return self._seen


def _own(proc: int, pid: str) -> bool:
    status = procfs.read(proc, f"{pid}/status")
    users = [line.split()[1:] for line in status.splitlines() if line.startswith(b"Uid:")]
    return bool(users) and int(users[0][0]) == os.getuid()


def _can_fork(most: int) -> bool:
    """Whether one more process can start under this bound."""
    child = os.fork()
    if child == 0:
        try:
            resource.setrlimit(resource.RLIMIT_NPROC, (most, most))
            grandchild = os.fork()
            if grandchild == 0:
                os._exit(0)
            os.waitpid(grandchild, 0)
        except (OSError, ValueError):
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

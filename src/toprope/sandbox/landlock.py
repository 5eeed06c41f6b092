"""The sandbox for hosts that forbid namespaces: Landlock rules, a system-call filter, limits.

Every job or session is a fork of its worker in a fresh folder, and ends with all that descends
from it.
It needs no right and no namespace, and hides less: `walls.missing` says what.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping
from functools import partial

from toprope.sandbox import advice
from toprope.sandbox.landlock_selftest import LOOK
from toprope.sandbox.pool import Pool
from toprope.sandbox.pooled import PooledSandbox
from toprope.sandbox.protocol import Walls
from toprope.sandbox.selftest import WATCHED, standing
from toprope.sandbox.worker import Worker
from toprope.terms import Environment

_WEAKER = (
    "names, sizes and dates of the host's files hidden (their contents are)",
    "process numbers of its own",
    "disk bounded by the kernel (a watchdog does it, and a full one ends a session)",
    "sockets between the processes of a session (none can be made)",
)
_SHARED_USER = (
    "a user of its own",
    "the number of processes bounded exactly by the kernel (a watchdog does it)",
)


class LandlockSandbox(PooledSandbox):
    """Runs each job in its own folder of a worker; see `Sandbox` for the contract.

    `fix` says what would raise the better walls. `most_abi` makes it do as on a kernel
    that has no newer version of Landlock.
    """

    def __init__(
        self,
        workers: int = 1,
        environments: Mapping[str, Environment] | None = None,
        fix: str = "",
        most_abi: int = 0,
    ) -> None:
        unsupported = advice.unsupported()
        if unsupported:
            raise unsupported
        self._size = workers
        # A guard that is asked to end has time to end what its worker started.
        start = partial(Worker, start="hosted", options=(most_abi,), ending=signal.SIGTERM)
        self._pool = Pool(workers, environments or {}, start)
        first = start(0)  # here, so that a machine without walls refuses with its reason
        self._pool.adopt(first)
        try:
            seen = (*standing(self, LOOK), *WATCHED)
        except BaseException:
            self.close()
            raise
        missing = (*_WEAKER, *(() if first.stands["alone"] else _SHARED_USER))
        self._walls = Walls("landlock", True, seen, missing, fix)

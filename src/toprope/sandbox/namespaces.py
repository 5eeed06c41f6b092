"""The sandbox of namespaces: a pool of warm workers behind walls that were tested.

Every job gets fresh mount, pid, network, IPC and UTS namespaces cloned from its worker,
so no job sees what an earlier one left. Lost workers are replaced.
"""

from __future__ import annotations

from collections.abc import Mapping

from toprope.sandbox import advice
from toprope.sandbox.pool import Pool
from toprope.sandbox.pooled import PooledSandbox
from toprope.sandbox.selftest import inspect_walls
from toprope.sandbox.worker import Worker
from toprope.terms import Environment


class NamespaceSandbox(PooledSandbox):
    """Runs each job in its own clone of a worker; see `Sandbox` for the contract."""

    def __init__(
        self, workers: int = 1, environments: Mapping[str, Environment] | None = None
    ) -> None:
        unsupported = advice.unsupported()
        if unsupported:
            raise unsupported
        self._size = workers
        self._pool = Pool(workers, environments or {})
        first = Worker(0)  # here, so that a machine without walls refuses with its reason
        self._pool.adopt(first)
        try:
            self._walls = inspect_walls(self)
        except BaseException:
            self.close()
            raise

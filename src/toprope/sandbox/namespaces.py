"""The sandbox of namespaces: a pool of warm workers behind walls that were tested.

Every job gets fresh mount, pid, network, IPC and UTS namespaces cloned from its worker,
so no job sees what an earlier one left. Lost workers are replaced.
"""

from __future__ import annotations

from collections.abc import Mapping

from toprope.sandbox import advice
from toprope.sandbox.pool import Pool
from toprope.sandbox.protocol import (
    Job,
    Result,
    SandboxError,
    Session,
    Start,
    Walls,
    oversized,
    refuse_oversized,
)
from toprope.sandbox.selftest import inspect_walls
from toprope.sandbox.sessions import WorkerSession
from toprope.sandbox.worker import Worker
from toprope.terms import Environment


class NamespaceSandbox:
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

    @property
    def walls(self) -> Walls:
        """The walls that the self-test saw standing from inside."""
        return self._walls

    @property
    def workers(self) -> int:
        """How many jobs can run at the same time."""
        return self._size

    def pids(self) -> list[int]:
        """The process ids of the workers that wait for a job."""
        return self._pool.pids()

    def run(self, job: Job) -> Result:
        """Run one job; waits for a free worker."""
        refused = oversized(job)
        if refused:
            return refused
        if self._pool.closed:
            raise SandboxError("the sandbox is closed")
        slot, worker = self._pool.take(job.environment)
        alive = False
        try:
            result = worker.run(job)
            alive = True
            return result
        finally:
            if not alive:
                # Whatever went wrong, what the worker would say next belongs to no job.
                worker.kill()
            self._pool.give(slot, worker if alive else None)

    def open(self, start: Start) -> Session:
        """Open a session in a worker of its own; waits for a free one."""
        refuse_oversized(start)
        if self._pool.closed:
            raise SandboxError("the sandbox is closed")
        return WorkerSession(self._pool, start)

    def close(self) -> None:
        """End all idle workers; busy ones end with their job or session."""
        self._pool.close()

    def __enter__(self) -> NamespaceSandbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

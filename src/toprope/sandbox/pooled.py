"""What sandboxes of warm workers share: jobs and sessions go to a pool, lost workers are replaced.

It must not know which walls its workers raise.
"""

from __future__ import annotations

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
from toprope.sandbox.sessions import WorkerSession


class PooledSandbox:
    """Runs each job on a worker of its pool; see `Sandbox` for the contract."""

    _pool: Pool
    _size: int
    _walls: Walls

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

    def __enter__(self) -> PooledSandbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

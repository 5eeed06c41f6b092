"""The sandbox of namespaces: a pool of warm workers behind walls that were tested.

Every job gets fresh mount, pid, network, IPC and UTS namespaces cloned from its worker,
so no job sees what an earlier one left. Lost workers are replaced.
"""

from __future__ import annotations

import queue
import threading

from toprope.sandbox import advice
from toprope.sandbox.protocol import (
    Job,
    Result,
    SandboxError,
    SandboxUnavailable,
    Walls,
    oversized,
)
from toprope.sandbox.selftest import inspect_walls
from toprope.sandbox.worker import Worker


class NamespaceSandbox:
    """Runs each job in its own clone of a worker; see `Sandbox` for the contract."""

    def __init__(self, workers: int = 1) -> None:
        unsupported = advice.unsupported()
        if unsupported:
            raise unsupported
        self._size = workers
        self._closed = threading.Event()
        # Worker None: the slot waits for a fresh one, started by the next job that needs it.
        self._idle: queue.LifoQueue[tuple[int, Worker | None]] = queue.LifoQueue()
        for slot in reversed(range(1, workers)):
            self._idle.put((slot, None))
        self._idle.put((0, Worker(0)))
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

    def run(self, job: Job) -> Result:
        """Run one job; waits for a free worker."""
        refused = oversized(job)
        if refused:
            return refused
        if self._closed.is_set():
            raise SandboxError("the sandbox is closed")
        slot, worker = self._idle.get()
        try:
            worker = worker or _restart(slot)
            return worker.run(job)
        except BaseException:
            # Whatever went wrong, what the worker would say next belongs to no job.
            if worker:
                worker.kill()
            worker = None
            raise
        finally:
            if worker and self._closed.is_set():
                worker.close()
                worker = None
            self._idle.put((slot, worker))

    def close(self) -> None:
        """End all idle workers; busy ones end with their job."""
        self._closed.set()
        for _ in range(self._idle.qsize()):
            try:
                slot, worker = self._idle.get_nowait()
            except queue.Empty:
                return
            if worker:
                worker.close()
            self._idle.put((slot, None))

    def __enter__(self) -> NamespaceSandbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _restart(slot: int) -> Worker:
    try:
        return Worker(slot)
    except SandboxUnavailable as refusal:
        raise SandboxError(f"the sandbox worker could not be replaced: {refusal}") from refusal

"""The workers of a sandbox: a fixed number of slots, each with a worker for one environment.

Lost workers leave an empty slot. It must not know what jobs are.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import toprope
from toprope.sandbox.protocol import SandboxError, SandboxUnavailable, UnknownEnvironment
from toprope.sandbox.worker import Worker
from toprope.terms import Environment

WITH_PYTEST = "pytest"
Slot = tuple[int, Worker | None]


class Pool:
    """Hands out slots; prefers the one whose worker has the environment that is asked for."""

    def __init__(
        self,
        size: int,
        environments: Mapping[str, Environment],
        start: Callable[[int, Environment], Worker] = Worker,
    ) -> None:
        self._start = start
        self._environments = {**built_in(), **environments}
        self._idle: list[Slot] = [(number, None) for number in range(size)]
        self._changed = threading.Condition()
        self._closed = False

    def adopt(self, worker: Worker) -> None:
        """Put a worker that was started as number 0 into that slot."""
        self._idle[0] = (0, worker)

    @property
    def closed(self) -> bool:
        """Whether no worker may start any more."""
        return self._closed

    def pids(self) -> list[int]:
        """The process ids of the idle workers."""
        with self._changed:
            return [worker.process.pid for _, worker in self._idle if worker]

    def take(self, name: str) -> tuple[int, Worker]:
        """Wait for a free slot and return it with a worker of this environment."""
        environment = known(self._environments, name)
        with self._changed:
            self._changed.wait_for(lambda: self._idle)
            slot, worker = self._idle.pop(self._best(environment))
        if worker and worker.environment == environment and worker.waits():
            return slot, worker
        if worker:  # of another environment, or ended while no job of ours ran
            worker.close()
        try:
            return slot, self._start(slot, environment)
        except SandboxUnavailable as refusal:
            self.give(slot, None)
            if name:
                raise
            raise SandboxError(f"the sandbox worker could not be started: {refusal}") from refusal
        except BaseException:
            self.give(slot, None)
            raise

    def give(self, slot: int, worker: Worker | None) -> None:
        """Take a slot back; None for its worker means that it was lost."""
        if worker and self._closed:
            worker.close()
            worker = None
        with self._changed:
            self._idle.append((slot, worker))
            self._changed.notify()

    def close(self) -> None:
        """End all idle workers; busy ones end when they are given back."""
        with self._changed:
            self._closed = True
            workers = [worker for _, worker in self._idle if worker]
            self._idle = [(slot, None) for slot, _ in self._idle]
        for worker in workers:
            worker.close()

    def _best(self, environment: Environment) -> int:
        """Which idle slot: the latest with the right worker, else an empty, else the oldest."""
        for at, (_, worker) in reversed(list(enumerate(self._idle))):
            if worker and worker.environment == environment:
                return at
        return next((at for at, (_, worker) in enumerate(self._idle) if worker is None), 0)


def built_in() -> dict[str, Environment]:
    """The environments that are always there: nothing but Python, and toprope's own packages.

    toprope itself is covered in the second: its tasksets hold solutions.
    """
    package = str(Path(toprope.__file__).parent)
    own = Environment(python=sys.executable, hidden=(package,), warm=("pytest",))
    return {"": Environment(), WITH_PYTEST: own}


def known(environments: Mapping[str, Environment], name: str) -> Environment:
    """Return the environment called `name`, or raise `UnknownEnvironment`."""
    if name in environments:
        return environments[name]
    raise UnknownEnvironment(
        f"the environment {name!r} is not known here; environment.toml beside the taskset "
        "names them, and `toprope tasks make` writes it"
    )

"""The storm of a soak: workers and their guards are killed at random, and the clock jumps.

An attempt that lost its worker is spared on its next try: one that ends two workers has failed
by rule, and the storm must not be taken for the attempt.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from toprope.sandbox import Job, Result, Sandbox, Walls, WorkerDied

_JUMPS_S = (-3600.0, 3600.0, 86_400.0)
_HELD_S = 0.3
_GONE_S = 5.0


class Storm(threading.Thread):
    """Strikes about every `every_s` seconds until it is ended; `struck` counts what."""

    def __init__(self, seed: int, every_s: float, jumps: bool) -> None:
        super().__init__(name="storm")
        self.struck: Counter[str] = Counter()
        self._draw = random.Random(seed)
        self._every_s = every_s
        self._kinds = ["worker", "guard", *(["clock"] if jumps else [])]
        self._lock = threading.Lock()
        self._spared = 0
        self._over = threading.Event()

    def run(self) -> None:
        """Strike at random moments."""
        while not self._over.wait(self._draw.expovariate(1 / self._every_s)):
            kind = self._draw.choice(self._kinds)
            if kind == "clock":
                jump(self._draw.choice(_JUMPS_S))
                self.struck[kind] += 1
                continue
            with self._lock:
                if not self._spared and _kill(kind, self._draw):
                    self.struck[kind] += 1

    def end(self) -> None:
        """Strike no more."""
        self._over.set()
        self.join()

    @contextlib.contextmanager
    def sparing(self) -> Iterator[None]:
        """Meanwhile nothing is killed."""
        with self._lock:
            self._spared += 1
        try:
            yield
        finally:
            with self._lock:
                self._spared -= 1


class InTheStorm:
    """A sandbox whose jobs are spared once they have lost a worker."""

    def __init__(self, inner: Sandbox, storm: Storm) -> None:
        self.inner = inner
        self.storm = storm
        self.lost = 0
        self._hit: set[str] = set()

    @property
    def walls(self) -> Walls:
        """Those of the sandbox inside."""
        return self.inner.walls

    @property
    def workers(self) -> int:
        """As many as the sandbox inside."""
        return self.inner.workers

    def run(self, job: Job) -> Result:
        """Run a job, out of the storm if it was hit before."""
        with self.storm.sparing() if job.id in self._hit else contextlib.nullcontext():
            try:
                result = self.inner.run(job)
            except WorkerDied:
                self._hit.add(job.id)
                self.lost += 1
                raise
        self._hit.discard(job.id)
        return result

    def close(self) -> None:
        """Close the sandbox inside."""
        self.inner.close()


def guards() -> list[int]:
    """The processes that this one started: each is the guard of a worker."""
    found = []
    for task in os.listdir("/proc/self/task"):
        with contextlib.suppress(OSError):
            found += map(int, Path(f"/proc/self/task/{task}/children").read_text().split())
    return found


def worker_of(guard: int) -> int | None:
    """The worker below a guard, if it has one yet."""
    with contextlib.suppress(OSError, ValueError):
        return int(Path(f"/proc/{guard}/task/{guard}/children").read_text())
    return None


def jump(seconds: float) -> None:
    """Set the wall clock of this machine to another time for a moment; needs root.

    It is put back by the clock that nobody sets.
    """
    offset = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    try:
        time.clock_settime(time.CLOCK_REALTIME, time.time() + seconds)
        time.sleep(_HELD_S)
    finally:
        now = time.clock_gettime(time.CLOCK_BOOTTIME) + offset
        time.clock_settime(time.CLOCK_REALTIME, now)


def _kill(kind: str, draw: random.Random) -> bool:
    """Kill a guard or a worker and wait until both are gone; False where there is none."""
    there = [(guard, worker) for guard in guards() if (worker := worker_of(guard))]
    if not there:
        return False
    guard, worker = draw.choice(there)
    with contextlib.suppress(ProcessLookupError):
        os.kill(guard if kind == "guard" else worker, signal.SIGKILL)
    deadline = time.monotonic() + _GONE_S
    while (_runs(guard) or _runs(worker)) and time.monotonic() < deadline:
        time.sleep(0.001)
    with contextlib.suppress(ChildProcessError):  # without its guard, it is ours to bury
        os.waitpid(worker, 0)
    return True


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False

"""A sandbox that fails on purpose, to test what is built on one."""

from __future__ import annotations

import hashlib
import threading
from collections import Counter

from toprope.sandbox import Job, Result, Sandbox, SandboxError, Walls


class FlakySandbox:
    """Raises `SandboxError` in a share of runs, decided by job id and attempt number.

    `permanent` names job ids (by prefix) that always fail, or until they were tried
    `heals_after` times. `raises` is the error's class.
    """

    def __init__(
        self,
        inner: Sandbox,
        rate: float = 0.0,
        permanent: tuple[str, ...] = (),
        raises: type[SandboxError] = SandboxError,
        heals_after: float = float("inf"),
    ) -> None:
        self.inner = inner
        self.rate = rate
        self.permanent = permanent
        self.raises = raises
        self.heals_after = heals_after
        self.attempts: Counter[str] = Counter()
        self.faults = 0
        self._lock = threading.Lock()

    @property
    def walls(self) -> Walls:
        return self.inner.walls

    @property
    def workers(self) -> int:
        return self.inner.workers

    def run(self, job: Job) -> Result:
        with self._lock:
            self.attempts[job.id] += 1
            seed = f"{job.id}#{self.attempts[job.id]}".encode()
            draw = int.from_bytes(hashlib.sha256(seed).digest()[:4], "big") / 2**32
            ill = self.attempts[job.id] <= self.heals_after
            fails = draw < self.rate or (ill and job.id.startswith(self.permanent or ("\0",)))
            self.faults += fails
        if fails:
            raise self.raises(f"injected fault in {job.id}")
        return self.inner.run(job)

    def close(self) -> None:
        self.inner.close()

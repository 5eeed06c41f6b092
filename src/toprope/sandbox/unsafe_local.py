"""A sandbox without walls: a plain process with limits. Only for those who ask for it.

The program could read and change everything its user can. It exists for systems without
namespaces and for one's own code; the report of such a run carries a red line.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict

from toprope.sandbox.engines import NoContainer
from toprope.sandbox.pool import built_in, known
from toprope.sandbox.protocol import (
    Job,
    Limits,
    Result,
    SandboxError,
    Session,
    Start,
    Walls,
    oversized,
    refuse_oversized,
)
from toprope.sandbox.unsafe_process import end, start_program
from toprope.sandbox.unsafe_sessions import LocalSession
from toprope.sandbox.zygote import rooms, watch
from toprope.sandbox.zygote.endings import ending, stopped
from toprope.terms import Environment

_MISSING = ("files", "network", "processes", "user", "system-call filter", "memory watchdog")


class UnsafeLocalSandbox:
    """Runs each job, and each command of a session, as a plain process in a temporary folder."""

    def __init__(
        self, workers: int = 1, environments: Mapping[str, Environment] | None = None
    ) -> None:
        self._environments = {**built_in(), **(environments or {})}
        self._size = workers
        self._free = threading.BoundedSemaphore(workers)
        self._closed = False
        fix = "do not use --unsafe-local; `toprope doctor` says how to raise the walls"
        self._walls = Walls("unsafe-local", False, ("time limit",), _MISSING, fix)

    @property
    def walls(self) -> Walls:
        """No walls: `isolated` is False."""
        return self._walls

    @property
    def workers(self) -> int:
        """How many jobs can run at the same time."""
        return self._size

    def run(self, job: Job) -> Result:
        """Run one job in a fresh folder that is removed afterwards."""
        if self._closed:
            raise SandboxError("the sandbox is closed")
        refused = oversized(job)
        if refused:
            return refused
        with self._free, tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            return _run_in(folder, job, self._known(job.environment))

    def open(self, start: Start) -> Session:
        """Open a session in a folder that is removed with it; waits for a free slot."""
        refuse_oversized(start)
        if self._closed:
            raise SandboxError("the sandbox is closed")
        environment = self._known(start.environment)
        self._free.acquire()
        return LocalSession(start, environment, self._free.release)

    def _known(self, name: str) -> Environment:
        environment = known(self._environments, name)
        if environment.image:
            why = "--unsafe-local runs plain processes of this machine"
            raise NoContainer(environment.image, why, "Leave that option out.")
        return environment

    def close(self) -> None:
        """Refuse further jobs and sessions."""
        self._closed = True

    def __enter__(self) -> UnsafeLocalSandbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _run_in(folder: str, job: Job, environment: Environment) -> Result:
    work = os.path.join(folder, "work")
    os.mkdir(work)
    shared = dict(job.tree.files) if job.tree else {}
    files = {path: text for path, text in shared.items() if path not in job.removed}
    files.update(job.files)
    spec = {"files": files, "limits": asdict(job.limits), "program": job.program}
    started = time.monotonic()
    reading, writing = rooms.pipes(("output", "result"))
    try:
        process = start_program(spec, job.stdin, folder, environment, writing)
    except BaseException:
        rooms.close(reading.values())
        raise
    finally:
        rooms.close(writing.values())
    try:
        return _await_end(process, reading, job.limits, started)
    finally:
        rooms.close(reading.values())
        shutil.rmtree(work, ignore_errors=True)


def _await_end(
    process: subprocess.Popen[bytes], pipes: dict[str, int], limits: Limits, started: float
) -> Result:
    numbers = asdict(limits)
    try:
        gathered = watch.collect(pipes, numbers, lambda: None)
        if not gathered.stopped:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.01, limits.wall_s - (time.monotonic() - started)))
    finally:
        status = end(process)
    answer = stopped(gathered.stopped) if gathered.stopped else ending(status, numbers)
    wall_ms = (time.monotonic() - started) * 1000
    return Result(
        stdout=gathered.pipes["output"],
        result=gathered.pipes["result"],
        wall_ms=wall_ms,
        **answer,
    )

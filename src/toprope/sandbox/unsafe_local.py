"""A sandbox without walls: a plain process with limits. Only for those who ask for it.

The program could read and change everything its user can. It exists for systems without
namespaces and for one's own code; the report of such a run carries a red line.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict

from toprope.sandbox.pool import known
from toprope.sandbox.protocol import Job, Limits, Result, SandboxError, Walls, oversized
from toprope.sandbox.worker import ZYGOTE_PARENT, interpreter, variables
from toprope.sandbox.zygote import watch
from toprope.sandbox.zygote.endings import ending
from toprope.terms import Environment

_BOOT = (
    "import sys; sys.path.append({folder!r}); from zygote.bare import main; "
    "sys.path.pop(); main({result}, {job!r})"
)
_MISSING = ("files", "network", "processes", "user", "system-call filter", "memory watchdog")


class UnsafeLocalSandbox:
    """Runs each job as a plain process in a temporary folder."""

    def __init__(
        self, workers: int = 1, environments: Mapping[str, Environment] | None = None
    ) -> None:
        self._environments = {"": Environment(), **(environments or {})}
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
            return _run_in(folder, job, known(self._environments, job.environment))

    def close(self) -> None:
        """Refuse further jobs."""
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
    with open(os.path.join(folder, "job.json"), "w", encoding="ascii") as file:
        json.dump(spec, file)
    with open(os.path.join(folder, "stdin"), "wb") as stdin:
        stdin.write(job.stdin)
    started = time.monotonic()
    output, output_end = os.pipe()
    result, result_end = os.pipe()
    boot = _BOOT.format(folder=ZYGOTE_PARENT, result=result_end, job=file.name)
    try:
        with open(stdin.name, "rb") as source:
            process = subprocess.Popen(
                [*interpreter(environment), "-c", boot],
                env={**variables(environment), "HOME": work, "TMPDIR": folder},
                cwd=work,
                stdin=source,
                stdout=output_end,
                stderr=output_end,
                pass_fds=[result_end],
                start_new_session=True,
            )
    except OSError as error:
        _close(output, result, output_end, result_end)
        raise SandboxError(f"the job's process could not be started: {error}") from error
    _close(output_end, result_end)
    try:
        return _await_end(process, {"output": output, "result": result}, job.limits, started)
    finally:
        _close(output, result)
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
        # The group, not only the leader; what has left it with setsid survives: no walls.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        code = process.wait()
    if gathered.stopped:
        answer = {**vars(gathered.stopped), "returncode": -9}
    else:
        answer = ending(code << 8 if code >= 0 else -code, numbers)
    wall_ms = (time.monotonic() - started) * 1000
    return Result(
        stdout=gathered.pipes["output"],
        result=gathered.pipes["result"],
        wall_ms=wall_ms,
        **answer,
    )


def _close(*fds: int) -> None:
    for fd in fds:
        os.close(fd)

"""What a sandbox is: a job goes in, a result comes out, and the walls say what stands.

Plain frozen data and one small protocol. This file knows neither how a wall is built
nor what a job is good for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from toprope.terms import InfraError, TopropeError, Tree


class SandboxUnavailable(TopropeError):
    """Untrusted code cannot be contained here; `missing` names the walls, `fix` the remedy."""

    def __init__(self, missing: tuple[str, ...], fix: str) -> None:
        super().__init__(f"untrusted code cannot be contained here ({'; '.join(missing)}). {fix}")
        self.missing = missing
        self.fix = fix


class UnknownEnvironment(TopropeError):
    """A job asks for an environment that this sandbox was not opened with."""


class SandboxError(InfraError):
    """The sandbox itself failed; the job may be asked for again."""


class WorkerDied(SandboxError):
    """The worker was lost, or fell silent, while it ran this job.

    Told apart because a job that does this twice is the likely cause of it.
    """


@dataclass(frozen=True, slots=True)
class Limits:
    """What one job may use before it is stopped.

    `cpu_s` and `memory_mb` bound each process and also all together, `descriptors` the open
    files of each, `output_bytes` separately the output and the result, `disk_mb` all files
    that the job writes.
    """

    wall_s: float = 5.0
    cpu_s: float = 4.0
    memory_mb: int = 512
    processes: int = 16
    output_bytes: int = 1 << 20
    disk_mb: int = 16
    descriptors: int = 64


@dataclass(frozen=True, slots=True)
class Job:
    """A Python program and the files it finds in its working directory.

    `files` lie on top of `tree`, without its paths `removed`; a worker unpacks a tree once
    and shows it copy-on-write, so a reset costs the same whatever its size.

    `environment` names one that the sandbox was opened with; "" is a bare interpreter.
    The program runs as `__main__` with the global `RESULT_FD`, a private pipe for its
    result. `trusted` says that the program text is ours (the files need not be): then a
    worker compiles it once and keeps it.
    """

    id: str
    files: Mapping[str, str]
    program: str
    stdin: bytes = b""
    limits: Limits = field(default_factory=Limits)
    trusted: bool = False
    tree: Tree | None = None
    removed: tuple[str, ...] = ()
    environment: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """How a job ended. `stdout` holds standard output and error together, bounded.

    `status` is "exited" (see `returncode`), "signalled" (`returncode` is minus the
    signal), "timeout" (wall or CPU time) or "limit" (memory, processes, output, disk).
    `why` is a sentence without timings, so that it is the same each time.
    """

    status: str
    returncode: int
    stdout: bytes
    result: bytes
    why: str
    wall_ms: float


def oversized(job: Job) -> Result | None:
    """The ending of a job whose own files do not fit into its workspace."""
    size = sum(len(text) for text in job.files.values()) + len(job.stdin)
    if size <= job.limits.disk_mb << 20:
        return None
    return Result("limit", -9, b"", b"", f"files of more than {job.limits.disk_mb} MB", 0.0)


@dataclass(frozen=True, slots=True)
class Walls:
    """Which walls were seen to stand, which are missing, and how to raise those.

    `level` is "namespaces" or "unsafe-local"; `isolated` is False when untrusted code
    could reach the host.
    """

    level: str
    isolated: bool
    standing: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    fix: str = ""


class Sandbox(Protocol):
    """Runs jobs; `run` may be called from `workers` threads at once."""

    @property
    def walls(self) -> Walls:
        """The walls that stand around every job."""

    @property
    def workers(self) -> int:
        """How many jobs can run at the same time."""

    def run(self, job: Job) -> Result:
        """Run one job in a fresh workspace; raises `SandboxError` if we failed, not the job."""

    def close(self) -> None:
        """End all workers. Safe to call twice."""

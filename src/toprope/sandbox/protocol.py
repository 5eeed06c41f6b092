"""What a sandbox is: a job goes in, a result comes out, and the walls say what stands.

A session is a room that stays for many commands of one attempt.

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


class SessionEnded(TopropeError):
    """The session is over and its message says why; nothing more can be done in it."""

    def __init__(self, why: str) -> None:
        super().__init__(f"the session has ended: {why}; open another to go on")
        self.why = why


class NotAFile(TopropeError):
    """A path that cannot be read or written as a file of the workspace, and why."""


class TooMuchChanged(TopropeError):
    """A session changed more files or bytes than `Session.changed` tells."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one job may use before it is stopped; in a session, see `Session`.

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
    worker compiles it once and keeps it, and a text that speaks of `__warm__` it may execute
    once under that name beforehand; its jobs start from there.
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


@dataclass(frozen=True, slots=True)
class Start:
    """Where a session begins: files, tree and environment as those of a `Job`."""

    id: str
    files: Mapping[str, str] = field(default_factory=dict)
    tree: Tree | None = None
    removed: tuple[str, ...] = ()
    environment: str = ""
    limits: Limits = field(default_factory=Limits)


def oversized(job: Job | Start) -> Result | None:
    """The ending of a job whose own files do not fit into its workspace."""
    size = sum(len(text) for text in job.files.values())
    size += len(job.stdin) if isinstance(job, Job) else 0
    if size <= job.limits.disk_mb << 20:
        return None
    return Result("limit", -9, b"", b"", f"files of more than {job.limits.disk_mb} MB", 0.0)


def refuse_oversized(start: Start) -> None:
    """Raise `SessionEnded` where a session's own files do not fit into its workspace."""
    refused = oversized(start)
    if refused:
        raise SessionEnded(f"it cannot begin with {refused.why} (limits.disk_mb)")


@dataclass(frozen=True, slots=True)
class Walls:
    """Which walls were seen to stand, which are missing, and how to raise those.

    `level` is "namespaces", "landlock" or "unsafe-local"; `isolated` is False when untrusted
    code could reach the host.
    """

    level: str
    isolated: bool
    standing: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    fix: str = ""


class Session(Protocol):
    """A room that stays: files and background processes outlive the command that made them.

    One request at a time. The limits on memory, processes and disk hold for the session as
    a whole, and to pass those on memory or processes ends it: that command's `status` is
    "limit". `cpu_s` bounds each command, and all that runs between two of them. `wall_s` is
    not used. Every method raises `SessionEnded` once it is over, `WorkerDied` when its
    worker was lost, `SandboxError` when we failed otherwise (and then it is over too).
    """

    def run(self, command: str, seconds: float) -> Result:
        """Run a command line in the workspace with bash, or sh; `cd` and exports do not persist.

        What it starts with `&` lives on, and its later output is dropped. Of more than
        `output_bytes` of output the middle is left out, and a line there says how much. A
        command that takes longer than `seconds`, or more than `cpu_s` of processor time in
        the room meanwhile, is killed with all it started except what has detached itself as
        a daemon (`status` "timeout"), and the session goes on.
        """

    def python(self, program: str, stdin: bytes, seconds: float) -> Result:
        """Run a program of ours in a fork of the warm interpreter, as a job runs it."""

    def read(self, path: str) -> str:
        """The text of a file of at most `output_bytes`; raises `NotAFile`.

        UTF-8, and bytes that are none as surrogate escapes. No link is followed.
        """

    def write(self, path: str, text: str) -> None:
        """Make this the whole text of a file, with the folders above it; raises `NotAFile`."""

    def changed(self) -> dict[str, str | None]:
        """The files that differ from the start, None for those that are gone.

        What is not a regular file counts as absent. Raises `TooMuchChanged`, or `NotAFile`
        for a file or folder that its own mode keeps from being read.
        """

    def close(self) -> None:
        """End every process of the session and give its worker back. Safe to call twice."""

    def __enter__(self) -> Session:
        """The session itself."""

    def __exit__(self, *_: object) -> None:
        """Close it."""


class Sandbox(Protocol):
    """Runs jobs; `run` may be called from `workers` threads at once.

    An open session holds one of the `workers`; jobs and further sessions wait while none
    is free.
    """

    @property
    def walls(self) -> Walls:
        """The walls that stand around every job."""

    @property
    def workers(self) -> int:
        """How many jobs can run, or sessions be open, at the same time."""

    def run(self, job: Job) -> Result:
        """Run one job in a fresh workspace; raises `SandboxError` if we failed, not the job."""

    def open(self, start: Start) -> Session:
        """Open a session; raises `SandboxError` if we failed, `SessionEnded` if it cannot fit."""

    def close(self) -> None:
        """End all workers; busy ones end with their job or session. Safe to call twice."""

"""What untrusted code could leave behind on this machine, looked at before and after it ran.

Memory of processes is not among it: what outlives a process is its files in memory, and what
the kernel keeps for it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_PATIENCE_S = 5.0  # for what the kernel cleans up in its own time
_MOST_MEMORY_MB = 256
# Where a sandbox mounts; elsewhere other programs may.
_PLACES = ("/box", "/trees", "/.host", "/usr", "/lib", "/etc", "/dev", "/proc", sys.base_prefix)
_MOST_CLOCK_S = 60.0
_FOLDERS = (tempfile.gettempdir(), "/tmp", "/var/tmp", "/dev/shm")
_SETTINGS = (
    "/proc/sys/kernel/core_pattern", "/proc/sys/kernel/hostname", "/proc/sys/kernel/modprobe",
    "/proc/sysvipc/msg", "/proc/sysvipc/sem", "/proc/sysvipc/shm", "/proc/swaps",
)  # fmt: skip
_PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True)
class Machine:
    """The machine at one moment, as far as a job could change it."""

    processes: dict[int, str]
    mounts: frozenset[str]
    files: frozenset[str]
    descriptors: frozenset[str]
    threads: int
    settings: tuple[str, ...]
    memory_mb: float
    clock: float

    def harm(self) -> list[str]:
        """Sentences on what is worse than it was then; waits for what goes by itself."""
        deadline = time.monotonic() + _PATIENCE_S
        while (found := self._worse(look())) and time.monotonic() < deadline:
            time.sleep(0.1)
        return found

    def _worse(self, now: Machine) -> list[str]:
        left = now.processes.items() - self.processes.items()
        found = [f"process {pid} is left: {command}" for pid, command in sorted(left)]
        for kind in ("mounts", "files", "descriptors"):
            more = sorted(getattr(now, kind) - getattr(self, kind))
            found += [f"of {kind} there is more: {one}" for one in more]
        if now.threads > self.threads:
            found.append(f"{now.threads - self.threads} threads more")
        pairs = zip(_SETTINGS, self.settings, now.settings, strict=True)
        found += [f"{name} has changed" for name, before, after in pairs if before != after]
        if now.memory_mb > self.memory_mb + _MOST_MEMORY_MB:
            found.append(f"{now.memory_mb - self.memory_mb:.0f} MB more without a process")
        if abs(now.clock - self.clock) > _MOST_CLOCK_S:
            found.append(f"the clock was changed by {now.clock - self.clock:.0f} s")
        return found


def look() -> Machine:
    """The machine now."""
    names = os.listdir("/proc/self/fd")
    return Machine(
        processes=_descendants(),
        mounts=frozenset(_mounts()),
        files=frozenset(_files_of_jobs()),
        descriptors=frozenset(filter(None, (_target(name) for name in names))),
        threads=len(os.listdir("/proc/self/task")),
        settings=tuple(Path(name).read_text() if Path(name).exists() else "" for name in _SETTINGS),
        memory_mb=_kept_memory_mb(),
        clock=time.time() - time.clock_gettime(time.CLOCK_BOOTTIME),
    )


@contextlib.contextmanager
def orphans_come_to_us() -> Iterator[None]:
    """Meanwhile, descendants whose parents end become this process's children: none can hide."""
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        yield
    finally:
        libc.prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def _descendants() -> dict[int, str]:
    parents, names = {}, {}
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
        with contextlib.suppress(OSError):
            name, _, rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")
            parents[pid], names[pid] = int(rest.split()[1]), name
    ours = {os.getpid()}
    while found := {pid for pid, parent in parents.items() if parent in ours} - ours:
        ours |= found
    return {pid: names[pid] for pid in ours - {os.getpid()}}


def _mounts() -> Iterator[str]:
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        place = line.split()[4]
        if place in ("/", "/tmp") or place.startswith(_PLACES):
            yield line


def _files_of_jobs() -> Iterator[str]:
    """What lies in folders that all may write to and is owned as a job's files would be."""
    root = os.geteuid() == 0
    for folder in {os.path.realpath(folder) for folder in _FOLDERS}:
        with contextlib.suppress(OSError):
            for entry in os.scandir(folder):
                with contextlib.suppress(OSError):
                    owner = entry.stat(follow_symlinks=False).st_uid
                    if owner >= 60_000 if root else _is_strange(entry.name, owner):
                        yield entry.path


def _is_strange(name: str, owner: int) -> bool:
    """Where jobs have our own id, pytest's folders are not theirs."""
    return owner == os.geteuid() and not name.startswith(("pytest-of-", "toprope-readable-"))


def _target(descriptor: str) -> str:
    try:
        return f"{descriptor} {os.readlink(f'/proc/self/fd/{descriptor}')}"
    except OSError:  # the one that listed the folder
        return ""


def _kept_memory_mb() -> float:
    lines = Path("/proc/meminfo").read_text().splitlines()
    fields = {line.partition(":")[0]: int(line.split()[1]) for line in lines}
    return sum(fields[name] for name in ("Shmem", "SUnreclaim", "KernelStack")) / 1024

"""One job's room: what its first process does before any of the job's code runs.

The first process of the fresh namespaces furnishes the workspace, gives up every right,
clones the job, waits for it and reports how it ended. When it exits, the kernel kills
whatever the job left behind.
"""

from __future__ import annotations

import ctypes
import math
import os
import resource
import signal
from types import CodeType
from typing import Any, NoReturn

from . import kernel, payload, seccomp, trees, users
from .root import BOX, TREES

RESULT_FD = 3
_STATUS_FD = 4
_ADDRESS_SPACE_MB = 4096  # on top of the memory limit: thread stacks and arenas are mostly air


def live(
    spec: dict[str, Any],
    stdin: bytes,
    code: str | CodeType,
    pipes: dict[str, int],
    filter_program: ctypes.Structure,
) -> NoReturn:
    """Never returns: runs the job and tells its wait status through the status pipe."""
    try:
        _furnish(spec)
        keep_only(pipes, stdin)
        _lock(spec["limits"], filter_program)
    except BaseException as error:
        _report(pipes["status"], f"E{type(error).__name__}: {error}")
    try:
        job = os.fork()
    except OSError as error:
        _report(_STATUS_FD, f"E{error}")
    if job == 0:
        os.close(_STATUS_FD)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        payload.run(code, RESULT_FD)
    os.closerange(0, _STATUS_FD)
    _report(_STATUS_FD, f"W{_wait_for(job)}")


def _report(fd: int, text: str) -> NoReturn:
    os.write(fd, text.encode("utf-8", "replace")[:1000])
    os._exit(0)


def _wait_for(job: int) -> int:
    while True:
        pid, status = os.wait()
        if pid == job:
            return status


def _furnish(spec: dict[str, Any]) -> None:
    limits = spec["limits"]
    kernel.sethostname(b"box")
    size = f"size={limits['disk_mb']}m,nr_inodes=8192,mode=0755"
    kernel.mount("tmpfs", BOX, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, size)
    for name in ("work", "tmp"):
        os.mkdir(f"{BOX}/{name}", 0o700)
        if os.geteuid() == 0:
            os.chown(f"{BOX}/{name}", users.JOB, users.JOB)
    if spec.get("tree"):
        trees.lay(spec["tree"], f"{BOX}/work", f"{BOX}/.over")
    kernel.umount(TREES)  # other tasks' files, and this one's before it was changed
    kernel.drop_bounding_set()
    users.become_job()
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
    os.chdir(f"{BOX}/work")
    for path in spec["removed"]:
        os.unlink(path)
    write_files(spec["files"])


def write_files(files: dict[str, str]) -> None:
    """Write a job's files into the current directory."""
    for path, text in files.items():
        folder = os.path.dirname(path)
        if folder:
            os.makedirs(folder, exist_ok=True)
        with open(path, "wb") as file:
            file.write(as_bytes(text))


def as_bytes(text: str) -> bytes:
    """The bytes of a file's text: UTF-8, and bytes that are none as surrogate escapes."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def keep_only(pipes: dict[str, int], stdin: bytes) -> None:
    """Leave five descriptors open: standard ones, the result, and the status (ours)."""
    for target, fd in ((RESULT_FD, pipes["result"]), (_STATUS_FD, pipes["status"])):
        # All pipes were made above these numbers, so no dup2 overwrites one still needed.
        os.dup2(fd, target, inheritable=False)
    pipes["status"] = _STATUS_FD
    os.dup2(pipes["output"], 1)
    os.dup2(pipes["output"], 2)
    source = _stored(stdin) if stdin else os.open(os.devnull, os.O_RDONLY)
    os.dup2(source, 0)
    os.closerange(_STATUS_FD + 1, _highest_descriptor() + 1)


def _stored(stdin: bytes) -> int:
    path = f"{BOX}/tmp/.stdin"
    with open(path, "wb") as file:
        file.write(stdin)
    source = os.open(path, os.O_RDONLY)
    os.unlink(path)
    return source


def _highest_descriptor() -> int:
    return min(resource.getrlimit(resource.RLIMIT_NOFILE)[0], 4096)


def _lock(limits: dict[str, Any], filter_program: ctypes.Structure) -> None:
    # The kernel keeps from a first process only the signals that it has no handler for.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    # The first process counts as one of the job's user, and so does an ordinary user's worker.
    own = 1 if limits["mapped_root"] else 2
    set_rlimits(limits, limits["processes"] + own)
    kernel.drop_capabilities()
    seccomp.install(filter_program)


def set_rlimits(limits: dict[str, Any], processes: int | None) -> None:
    """Bound what a single process may use."""
    mega = 1 << 20
    cpu = max(1, math.ceil(limits["cpu_s"]))
    bounds = {
        "CORE": (0, 0),
        "CPU": (cpu, cpu + 1),
        "DATA": (limits["memory_mb"] * mega,) * 2,
        "AS": ((limits["memory_mb"] + _ADDRESS_SPACE_MB) * mega,) * 2,
        "FSIZE": (limits["disk_mb"] * mega,) * 2,
        "NOFILE": (limits["descriptors"],) * 2,
        "MEMLOCK": (0, 0),
        "MSGQUEUE": (0, 0),
        "SIGPENDING": (256, 256),
    }
    if processes is not None:
        bounds["NPROC"] = (processes, processes)
    for name, bound in bounds.items():
        number = getattr(resource, f"RLIMIT_{name}", None)
        if number is not None:
            resource.setrlimit(number, bound)

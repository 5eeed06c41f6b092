"""What every room shares: how its first process furnishes it, gives up every right, and waits.

The first process of the fresh namespaces is trusted, and runs before any of the job's
code; when it exits, the kernel kills whatever the job left behind. `live` is the room of
a single job.
"""

from __future__ import annotations

import ctypes
import math
import os
import resource
import signal
from types import CodeType
from typing import Any, NoReturn

from . import files, kernel, payload, seccomp, trees, users
from .root import BOX, TREES

RESULT_FD = 3
STATUS_FD = 4
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
        furnish(spec)
        places = {0: source(stdin), 1: pipes["output"], 2: pipes["output"]}
        arrange({**places, RESULT_FD: pipes["result"], STATUS_FD: pipes["status"]})
        pipes["status"] = STATUS_FD
        lock(spec["limits"], filter_program)
    except BaseException as error:
        _report(pipes["status"], f"E{type(error).__name__}: {error}")
    try:
        job = os.fork()
    except OSError as error:
        _report(STATUS_FD, f"E{error}")
    if job == 0:
        os.close(STATUS_FD)
        begin(math.ceil(spec["limits"]["cpu_s"]))
        payload.run(code, RESULT_FD)
    os.closerange(0, STATUS_FD)
    _report(STATUS_FD, f"W{wait_for(job)}")


def _report(fd: int, text: str) -> NoReturn:
    tell(fd, text)
    os._exit(0)


def tell(fd: int, text: str) -> None:
    """Say something through the status pipe, which no untrusted process holds."""
    os.write(fd, text.encode("utf-8", "replace")[:1000])


def wait_for(job: int) -> int:
    """The wait status of `job`; whatever else ends meanwhile is reaped."""
    while True:
        pid, status = os.wait()
        if pid == job:
            return status


def furnish(spec: dict[str, Any]) -> None:
    """Make the workspace with its files, and become the job's user in it."""
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
    trees.uncover([*spec["removed"], *spec["files"]])
    for path in spec["removed"]:
        os.unlink(path)
    files.write_files(spec["files"])


def arrange(places: dict[int, int]) -> None:
    """Put descriptors at these low places, and close all above; none is one of the places."""
    for place, fd in places.items():
        os.dup2(fd, place, inheritable=place < RESULT_FD)
    highest = min(resource.getrlimit(resource.RLIMIT_NOFILE)[0], 4096)
    os.closerange(max(places) + 1, highest + 1)


def source(stdin: bytes, folder: str = f"{BOX}/tmp") -> int:
    """A descriptor to read `stdin` from; its file has no name that others could open."""
    if not stdin:
        return os.open(os.devnull, os.O_RDONLY)
    file = os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_EXCL, 0o600)
    with os.fdopen(os.dup(file), "wb") as target:
        target.write(stdin)
    os.lseek(file, 0, os.SEEK_SET)
    return file


def lock(limits: dict[str, Any], filter_program: ctypes.Structure, spare: int = 0) -> None:
    """Give up every right for good; `spare` processes more than the limit can be started."""
    # The kernel keeps from a first process only the signals that it has no handler for.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    # The first process counts as one of the job's user; so do an ordinary user's worker and guard.
    own = 1 if limits["mapped_root"] else 3
    set_rlimits(limits, limits["processes"] + own + spare)
    kernel.drop_capabilities()
    seccomp.install(filter_program)


def begin(cpu_s: int) -> None:
    """What a process that will run untrusted code does before: its own time is bounded.

    And its maps are open to the watchdog, which the rights of its kind alone do not do.
    """
    kernel.prctl(kernel.PR_SET_DUMPABLE, 1)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    most = max(1, cpu_s)
    resource.setrlimit(resource.RLIMIT_CPU, (most, most + 1))


def forbid_cores() -> None:
    """Have no core written: 0 would not keep the kernel from piping one to the host's handler."""
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    most = hard if hard == 0 else 1
    resource.setrlimit(resource.RLIMIT_CORE, (most, most))


def set_rlimits(limits: dict[str, Any], processes: int | None) -> None:
    """Bound what a single process may use, except time."""
    mega = 1 << 20
    forbid_cores()
    bounds = {
        "DATA": (limits["memory_mb"] * mega,) * 2,
        "AS": ((limits["memory_mb"] + _ADDRESS_SPACE_MB) * mega,) * 2,
        "FSIZE": (limits["disk_mb"] * mega,) * 2,
        "NOFILE": (limits["descriptors"],) * 2,
        "MEMLOCK": (0, 0),
        "MSGQUEUE": (0, 0),
        "SIGPENDING": (256, 256),
        "RTPRIO": (0, 0),  # else a job could outrank the watchdog where the trainer's user may
        "NICE": (0, 0),
    }
    if processes is not None:
        bounds["NPROC"] = (processes, processes)
    for name, bound in bounds.items():
        number = getattr(resource, f"RLIMIT_{name}", None)
        if number is not None:
            resource.setrlimit(number, bound)

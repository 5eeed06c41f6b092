"""A job's room where there are no namespaces: a private folder, and rules on all else.

Its first process is trusted and stays outside the rules: it furnishes the folder, starts the
job, answers its petitions and takes leave of what the job leaves behind. The job enters the
rules itself, before any of its code runs, and cannot leave them.
"""

from __future__ import annotations

import ctypes
import math
import os
import shutil
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass
from types import CodeType
from typing import Any, NamedTuple, NoReturn

from . import files, kernel, landlock, offspring, payload, petitions, room, seccomp, trees
from .attendant import Attendant

CONTROL_FD = 5  # of a session; in a process on its way behind the rules, to its first process
_RULES_FD = 6
_PROC_FD = 7
_LISTENER, _READY = b"l", b"behind the rules"
_DEFAULTS = {"HOME": ("/work", "/box/work"), "TMPDIR": (None, "/box/tmp")}


@dataclass(frozen=True)
class Fence:
    """What stands around every job of a worker; made once.

    `box` is the folder that a job may write to and `trees` where it is copied from; `asked`
    are the calls that its first process is asked about.
    """

    box: str
    trees: str
    proc: int
    rights: landlock.Rights
    rules: int
    filters: tuple[ctypes.Structure, ...]
    asked: dict[int, str]
    asking: ctypes.Structure


class Fences(NamedTuple):
    """What stands around jobs, and around commands of sessions.

    Each command enters its rules on its own, and Landlock would keep it from signalling any
    that another entered: so in a session signals are asked for instead.
    """

    jobs: Fence
    sessions: Fence


def live(
    spec: dict[str, Any],
    stdin: bytes,
    code: str | CodeType,
    pipes: dict[str, int],
    fence: Fence,
) -> NoReturn:
    """Never returns: runs the job and tells its wait status through the status pipe."""
    try:
        settle()
        furnish(spec, fence)
        source = room.source(stdin, f"{fence.box}/tmp")
        places = {
            0: source,
            1: pipes["output"],
            2: pipes["output"],
            room.RESULT_FD: pipes["result"],
        }
        arrange(places, pipes["status"], fence.proc, fence)
        pipes["status"] = room.STATUS_FD
        attendant = Attendant()
        job, clerk = start(fence, spec["limits"], math.ceil(spec["limits"]["cpu_s"]), {},
                           lambda: payload.run(code, room.RESULT_FD))  # fmt: skip
        attendant.introduce(clerk)
    except BaseException as error:
        room.tell(pipes["status"], f"E{type(error).__name__}: {error}")
        os._exit(0)
    try:
        os.closerange(0, room.STATUS_FD)
        room.tell(room.STATUS_FD, f"W{attendant.wait(job)}")
    finally:
        os._exit(0)


def settle() -> None:
    """Begin as a first process: die with the worker, adopt what loses its parent."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
    offspring.adopt()


def furnish(spec: dict[str, Any], fence: Fence) -> None:
    """Make the workspace with its files, in an empty box, and go there."""
    work, spare = f"{fence.box}/work", f"{fence.box}/tmp"
    os.mkdir(spare, 0o700)
    if spec.get("tree"):
        shutil.copytree(f"{fence.trees}/{spec['tree']}", work, copy_function=shutil.copyfile)
        os.chmod(work, 0o700)
    else:
        os.mkdir(work, 0o700)
    os.chdir(work)
    trees.uncover([*spec["removed"], *spec["files"]])
    for path in spec["removed"]:
        os.unlink(path)
    files.write_files(spec["files"])
    for name, place in (("HOME", work), ("TMPDIR", spare)):
        if os.environ.get(name) in _DEFAULTS[name]:
            os.environ[name] = place


def arrange(places: dict[int, int], status: int, control: int, fence: Fence) -> None:
    """Put a first process's descriptors where they belong, and close all others."""
    ours = {room.STATUS_FD: status, CONTROL_FD: control, _RULES_FD: fence.rules}
    room.arrange({**places, **ours, _PROC_FD: fence.proc})


def start(
    fence: Fence,
    limits: dict[str, Any],
    cpu_s: int,
    places: dict[int, int],
    become: Callable[[], NoReturn],
) -> tuple[int, petitions.Clerk]:
    """Fork a process that enters the rules with these descriptors, then does `become`.

    Returns it and its clerk; raises OSError where that fails.
    """
    ours, theirs = socket.socketpair()
    with ours, theirs:
        kernel.prctl(kernel.PR_SET_DUMPABLE, 1)  # the watchdog looks at what a job holds open
        try:
            pid = os.fork()
            if pid == 0:
                _enter(fence, limits, cpu_s, places, theirs.detach())
                become()
        finally:
            kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
        theirs.close()
        said, listeners, _, _ = socket.recv_fds(ours, len(_LISTENER), 1)
        said = ours.recv(1000) if listeners else said
    if said != _READY:
        why = said.decode("utf-8", "replace")
        raise OSError(0, why or "a process ended before it was behind its rules")
    return pid, petitions.Clerk(listeners[0], fence.asked, fence.box, _PROC_FD)


def _enter(
    fence: Fence, limits: dict[str, Any], cpu_s: int, places: dict[int, int], channel: int
) -> None:
    """Give up every right for good; what the clerk needs, or why not, goes to `channel`."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        room.arrange({**places, CONTROL_FD: channel, _RULES_FD: os.dup(_RULES_FD)})
        channel = CONTROL_FD
        os.setsid()
        room.set_rlimits(limits, limits["user_processes"])
        kernel.drop_capabilities()
        landlock.restrict(_RULES_FD, fence.rights)
        with socket.socket(fileno=os.dup(channel)) as sock:
            listener = petitions.install(fence.asking)
            socket.send_fds(sock, [_LISTENER], [listener])
            os.close(listener)  # or it would answer itself
        for program in fence.filters:
            seccomp.install(program)
        room.begin(cpu_s)
        os.write(channel, _READY)
        os.closerange(room.STATUS_FD, _PROC_FD + 1)
    except BaseException as error:
        room.tell(channel, f"{type(error).__name__}: {error}")
        os._exit(1)

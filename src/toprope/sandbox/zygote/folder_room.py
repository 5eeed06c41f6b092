"""A job's room where there are no namespaces: a private folder, and rules on all else.

Its first process is trusted and stays outside the rules: it furnishes the folder, starts the
job, answers its petitions and takes leave of what the job leaves behind. The job enters the
rules itself, before any of its code runs, and cannot leave them.
"""

from __future__ import annotations

import ctypes
import math
import os
import select
import shutil
import signal
import socket
from dataclasses import dataclass
from types import CodeType
from typing import Any, NoReturn

from . import files, kernel, landlock, offspring, payload, petitions, room, seccomp, trees

_RULES_FD = 5
_PROC_FD = 6
_HIGHEST = 32  # far above what a first process has open
_REAP_MS = 100
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
        places = {0: source, 1: pipes["output"], 2: pipes["output"]}
        kept = {room.RESULT_FD: pipes["result"], room.STATUS_FD: pipes["status"]}
        room.arrange({**places, **kept, _RULES_FD: fence.rules, _PROC_FD: fence.proc})
        pipes["status"] = room.STATUS_FD
        job = start(spec["limits"], code, fence)
    except BaseException as error:
        room.tell(pipes["status"], f"E{type(error).__name__}: {error}")
        os._exit(0)
    try:
        os.closerange(0, room.STATUS_FD)
        room.tell(room.STATUS_FD, f"W{job.wait()}")
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


class Running:
    """A process of the room behind its rules; seen from the first process, its parent."""

    def __init__(self, pid: int, clerk: petitions.Clerk) -> None:
        self.pid = pid
        self.clerk = clerk

    def wait(self) -> int:
        """Its wait status; meanwhile petitions are answered and others that ended reaped."""
        ended, wake = os.pipe()
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(wake)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        poller = select.poll()
        poller.register(ended, select.POLLIN)
        poller.register(self.clerk.listener, select.POLLIN)
        while True:
            status = _reaped(self.pid)
            if status is not None:
                return status
            for fd, event in poller.poll(_REAP_MS):
                if fd == ended:
                    os.read(ended, 512)
                elif event & select.POLLIN:
                    self.clerk.answer()
                else:  # nobody is left who could ask
                    poller.unregister(fd)


def _reaped(pid: int) -> int | None:
    """Take leave of all that have ended; the wait status of `pid` if it is among them."""
    found = None
    try:
        while True:
            ended, status = os.waitpid(-1, os.WNOHANG)
            if ended == pid:
                found = status
            if not ended:
                return found
    except ChildProcessError:
        return found


def start(limits: dict[str, Any], code: str | CodeType, fence: Fence) -> Running:
    """Fork the job's leader into the rules; raises OSError where that fails."""
    ours, theirs = socket.socketpair()
    kernel.prctl(kernel.PR_SET_DUMPABLE, 1)  # the watchdog looks at what a job holds open
    job = os.fork()
    if job == 0:
        try:
            enter(limits, fence, theirs)
            os.closerange(room.STATUS_FD, _HIGHEST)
            room.begin(math.ceil(limits["cpu_s"]))
        except BaseException as error:
            room.tell(room.STATUS_FD, f"E{type(error).__name__}: {error}")
            os._exit(1)
        payload.run(code, room.RESULT_FD)
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
    theirs.close()
    _, listeners, _, _ = socket.recv_fds(ours, 1, 1)
    ours.close()
    if not listeners:
        raise OSError(0, "the job did not enter its rules")
    return Running(job, petitions.Clerk(listeners[0], fence.asked, fence.box, _PROC_FD))


def enter(limits: dict[str, Any], fence: Fence, channel: socket.socket) -> None:
    """Give up every right for good; what the clerk needs goes through `channel`."""
    os.setsid()
    room.set_rlimits(limits, limits["user_processes"])
    kernel.drop_capabilities()
    landlock.restrict(_RULES_FD, fence.rights)
    socket.send_fds(channel, [b"l"], [petitions.install(fence.asking)])
    for program in fence.filters:
        seccomp.install(program)

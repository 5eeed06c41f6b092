"""The start of a worker where namespaces are forbidden: the fence that stands around its jobs.

Two processes again, a guard and the worker, of one user that is never the host's root. If
either is lost the other ends what descends from it and removes the folder. A wall that
cannot be raised is told to the other end by name; there is no lesser way to go on.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib
import os
import signal
import socket
import sys
import sysconfig
import time
from typing import Any, NoReturn

from . import (
    folder_room,
    grants,
    kernel,
    landlock,
    offspring,
    petitions,
    private_folder,
    seccomp,
    serve,
    shared_host,
    tasks,
    users,
    wire,
)  # fmt: skip
from .folder_server import FolderServer
from .main import refuse, warm_up

_GRACE_S = 8.0
_FIRST_FREE = 10


def main(
    control: int, parent: int, slot: int, outfit: dict[str, Any], most_abi: int = 0
) -> NoReturn:
    """Raise the fence and serve; `parent` is the process that must stay alive.

    `outfit` is what the worker shows its jobs: an `Environment` as plain data. `most_abi`
    makes it do as on a kernel with no newer Landlock.
    """
    sock = socket.socket(fileno=control)
    warm_up(sock)
    try:
        step = "a user that owns nothing"
        alone = users.become_nobody()
        step = "packages that every user may read"
        _readable(outfit)
        step = "every process seen in /proc"
        proc = _high(os.open("/proc", os.O_RDONLY | os.O_DIRECTORY))
        _see_all()
        step = "Landlock"
        rights = landlock.supported(most_abi)
        if not rights.abi:
            raise OSError(0, "this kernel has none, or was started without it (lsm=)")
        step = "a private folder"
        base = private_folder.make()
    except (OSError, users.NoSafeUser) as error:
        refuse(sock, step, error)
    offspring.adopt()
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD, signal.SIGTERM])
    worker = os.fork()
    if worker:
        sock.close()
        _guard(worker, parent, proc, base)
    _work(sock, proc, base, rights, alone, outfit)


def _work(
    sock: socket.socket,
    proc: int,
    base: str,
    rights: landlock.Rights,
    alone: bool,
    outfit: dict[str, Any],
) -> NoReturn:
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
    offspring.adopt()
    _leave_with_the_guard(proc, base)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD, signal.SIGTERM])
    try:
        step = "the host's processes counted"
        counter = tasks.Counter(proc, alone)
        for name in outfit["warm"]:
            step = f"import {name}"
            importlib.import_module(name)
        _forget_hidden(outfit)
        step = "rules on files"
        fences = _fences(proc, base, rights, outfit)
    except (OSError, ImportError) as error:
        private_folder.remove(base)
        refuse(sock, step, error)
    serve.reserve_low_descriptors()
    wire.send(sock, {"ready": True, "alone": alone, "abi": rights.abi, "signals": rights.signals})
    try:
        FolderServer(sock, fences, counter).forever()
    finally:
        private_folder.remove(base)
        os._exit(0)


def _fences(
    proc: int, base: str, rights: landlock.Rights, outfit: dict[str, Any]
) -> folder_room.Fences:
    box, trees = f"{base}/box", f"{base}/trees"
    os.mkdir(box, 0o700)
    os.mkdir(trees, 0o700)
    granted = grants.of(outfit, box)

    def fence(rights: landlock.Rights) -> folder_room.Fence:
        asked = petitions.numbers(kernel.MACHINE, signals=not rights.signals)
        return folder_room.Fence(
            box=box,
            trees=trees,
            proc=proc,
            rights=rights,
            rules=_high(landlock.ruleset(rights, granted)),
            filters=(
                shared_host.prepare(kernel.MACHINE, rights.truncation),
                seccomp.prepare(kernel.MACHINE),
            ),
            asked=asked,
            asking=petitions.prepare(asked),
        )

    return folder_room.Fences(fence(rights), fence(rights.without_signals()))


def _readable(outfit: dict[str, Any]) -> None:
    """See that the jobs' user reaches the interpreter and its packages."""
    _reach(os.__file__)
    _reach(outfit["python"] or sys.executable)
    if outfit["python"]:
        _reach(sysconfig.get_path("purelib"))


def _reach(path: str) -> None:
    try:
        os.stat(path)
        reached = os.access(path, os.R_OK)
    except FileNotFoundError:
        return
    except PermissionError:
        reached = False
    if not reached:
        raise OSError(0, f"the user that jobs run as cannot read {path}")


def _see_all() -> None:
    """Raise OSError where /proc hides processes: nothing could be counted or ended for sure."""
    me = os.getpid()
    for path in ("/proc/1/stat", f"/proc/{me}/task/{me}/children"):
        with open(path, "rb"):
            pass


def _high(fd: int) -> int:
    """The same above the numbers that a room arranges anew."""
    try:
        return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _FIRST_FREE)
    finally:
        os.close(fd)


def _forget_hidden(outfit: dict[str, Any]) -> None:
    """Drop what a warm module imported from below a folder that jobs must not see."""
    covers = tuple(os.path.realpath(path) for path in outfit["hidden"])
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file and grants.below(file, covers):
            del sys.modules[name]


def _leave_with_the_guard(proc: int, base: str) -> None:
    """If the guard ends, or asks for it, end everything below this worker and leave."""
    guard, me = os.getppid(), os.getpid()

    def leave(*_: object) -> None:
        if os.getpid() == me:  # else a fork that has just begun
            with contextlib.suppress(OSError):
                offspring.Offspring(proc).end()
            private_folder.remove(base)
        os._exit(1)

    signal.signal(signal.SIGTERM, leave)
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != guard:
        leave()


def _guard(worker: int, parent: int, proc: int, base: str) -> NoReturn:
    """Wait for the worker's end; if the trainer ends first, or asks for it, end the worker."""
    since = 0.0
    asked = False
    while True:
        woken = signal.sigtimedwait([signal.SIGCHLD, signal.SIGTERM], 1.0)
        asked = asked or bool(woken and woken.si_signo == signal.SIGTERM)
        if os.waitpid(worker, os.WNOHANG)[0]:
            break
        if asked or os.getppid() != parent:
            since = since or time.monotonic()
            late = time.monotonic() - since > _GRACE_S
            os.kill(worker, signal.SIGKILL if late else signal.SIGTERM)
    with contextlib.suppress(OSError):
        offspring.Offspring(proc).end()
    private_folder.remove(base)
    os._exit(0)

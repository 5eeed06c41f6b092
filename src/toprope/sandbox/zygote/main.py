"""The start of a worker: raise the outer walls, then serve from inside them.

Two processes: a guard that stays outside and ends everything when the trainer is gone,
and the worker, first process of its own namespaces. A wall that cannot be raised is told
to the other end by name; there is no lesser way to go on.
"""

from __future__ import annotations

import importlib
import os
import select
import signal
import socket
import sys
from typing import Any, NoReturn

from . import kernel, root, serve, users, wire

# Imported before the first clone, so that a job gets them for nothing.
_WARM = (
    "__future__", "abc", "ast", "base64", "bisect", "calendar", "collections",
    "collections.abc", "contextlib", "copy", "dataclasses", "datetime", "decimal", "difflib",
    "enum", "errno", "fnmatch", "fractions", "functools", "hashlib", "heapq", "html",
    "importlib.util", "inspect", "io", "itertools", "json", "keyword", "locale", "logging",
    "math", "numbers", "operator", "pathlib", "posixpath", "pprint", "random", "re", "shlex",
    "shutil", "signal", "statistics", "string", "struct", "tempfile", "textwrap", "threading",
    "time", "tokenize", "traceback", "types", "typing", "unicodedata", "urllib.parse", "uuid",
    "warnings", "weakref", "zlib",
)  # fmt: skip


def main(control: int, parent: int, slot: int, outfit: dict[str, Any]) -> NoReturn:
    """Raise the walls and serve; `parent` is the process that must stay alive.

    `outfit` is what the worker shows its jobs: an `Environment` as plain data.
    """
    sock = socket.socket(fileno=control)
    warm_up(sock)
    mapped_root = os.geteuid() == 0
    try:
        step = "user namespace"
        users.enter(slot)
        step = "mount, pid, network, ipc and uts namespaces"
        kernel.unshare(kernel.ROOM)
    except (OSError, users.NoSafeUser) as error:
        refuse(sock, step, error)
    # Blocked before the fork, so that an end of the worker is never missed.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
    worker = os.fork()
    if worker:
        _guard(worker, parent, sock)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
    _work(sock, mapped_root, outfit)


def warm_up(sock: socket.socket) -> None:
    """Import what jobs get for nothing; refuses an interpreter that is too old."""
    if sys.version_info < (3, 9):  # noqa: UP036 - it may be another interpreter than ours
        refuse(sock, "interpreter", OSError(0, "Python 3.9 or newer is needed"))
    for name in _WARM:
        importlib.import_module(name)


def _work(sock: socket.socket, mapped_root: bool, outfit: dict[str, Any]) -> NoReturn:
    try:
        step = "life tied to the trainer's"
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        step = "read-only root"
        proc = root.build(outfit)
        for name in outfit["warm"]:
            step = f"import {name}"
            importlib.import_module(name)
    except (OSError, ImportError) as error:
        refuse(sock, step, error)
    serve.reserve_low_descriptors()
    wire.send(sock, {"ready": True})
    serve.Server(sock, proc, mapped_root).forever()
    os._exit(0)


def _guard(worker: int, parent: int, sock: socket.socket) -> NoReturn:
    """Wait for the worker's end; if the trainer ends first, end the worker.

    In a container the trainer is no parent, but its end of the socket closes with it.
    """
    trainer = select.poll()
    trainer.register(sock, 0)  # tells a hang-up only
    while True:
        signal.sigtimedwait([signal.SIGCHLD], 1.0)
        if os.getppid() != parent or trainer.poll(0):
            os.kill(worker, signal.SIGKILL)
        pid, _ = os.waitpid(worker, os.WNOHANG)
        if pid:
            os._exit(0)


def refuse(sock: socket.socket, step: str, error: Exception) -> NoReturn:
    """Tell which wall could not be raised, and end."""
    number = error.errno if isinstance(error, OSError) else None
    text = str(error.strerror) if isinstance(error, OSError) and not number else str(error)
    wire.send(sock, {"ready": False, "step": step, "errno": number, "error": text})
    os._exit(3)

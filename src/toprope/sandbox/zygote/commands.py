"""How a command of a session starts: a shell, or a fork that runs one of our own programs.

A shell is spawned without copying the warm interpreter, which halves its latency.
"""

from __future__ import annotations

import errno
import math
import os
import resource
import signal
import traceback
from types import CodeType
from typing import NoReturn

from . import files, payload, room

SHELLS = ("/bin/bash", "/bin/sh")
CANNOT_START, NOT_FOUND = 126, 127  # as shells say it
NO_SHELL = "there is no shell here: the environment has no tools"


class NotStarted(Exception):
    """A command that cannot start, with its exit code and the reason to show in its output."""

    def __init__(self, code: int, why: str) -> None:
        super().__init__(why)
        self.code = code


def shell(command: str, pipes: dict[str, int], cpu_s: int) -> int:
    """Start a command line and return its process; raises `NotStarted`, or EAGAIN."""
    path = next((path for path in SHELLS if os.path.exists(path)), None)
    if path is None:
        raise NotStarted(NOT_FOUND, NO_SHELL)
    line: list[str | bytes] = [path, "-c", files.as_bytes(command)]
    # Exec would close these too; they are named because nothing else keeps us from a forgery.
    actions: list[tuple[int, ...]] = [
        (os.POSIX_SPAWN_CLOSE, pipes[name]) for name in ("control", "status", "result")
    ]
    actions += [(os.POSIX_SPAWN_DUP2, pipes["output"], place) for place in (1, 2)]
    ignored_by_python = [signal.SIGPIPE, signal.SIGXFSZ]
    try:
        leader = os.posix_spawn(
            path, line, variables(dict(os.environ)),
            file_actions=actions, setsid=True, setsigdef=ignored_by_python,
        )  # fmt: skip
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno == errno.EAGAIN:
            raise
        raise NotStarted(CANNOT_START, f"the command cannot be started: {error}") from error
    resource.prlimit(leader, resource.RLIMIT_CPU, (cpu_s, cpu_s + 1))
    return leader


def python(code: str | CodeType, stdin: bytes, pipes: dict[str, int], cpu_s: int) -> int:
    """Start a program in a fork of this warm interpreter; raises OSError where it cannot."""
    leader = os.fork()
    if leader == 0:
        _become(code, stdin, pipes, cpu_s)
    return leader


def _become(code: str | CodeType, stdin: bytes, pipes: dict[str, int], cpu_s: int) -> NoReturn:
    try:
        os.dup2(pipes["output"], 2)  # for what goes wrong from here on
        os.setsid()
        room.begin(cpu_s)
        places = {0: room.source(stdin), 1: pipes["output"], 2: pipes["output"]}
        room.arrange({**places, room.RESULT_FD: pipes["result"]})
        payload.run(code, room.RESULT_FD)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(CANNOT_START)


def longest(cpu_s: float) -> int:
    """The seconds of one process: more than all together have, which the watchdog counts."""
    return math.ceil(cpu_s) + 1


def variables(inherited: dict[str, str]) -> dict[str, str]:
    """The variables of a command: those of jobs, but scripts find what lies beside them."""
    inherited.pop("PYTHONSAFEPATH", None)
    inherited.setdefault("PYTHONDONTWRITEBYTECODE", "1")  # as jobs do: no traces of a run
    return inherited

"""A sandbox that an ordinary user opened, used by tests that run as root.

`sandbox_served.py` holds it, in a process that has given up root for good; calls travel over
a socket as pickled plain data. Where the tests' own interpreter or source is closed to others
(below a home of mode 0700), the system's Python and a copy of the source serve.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import pickle
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import toprope
from toprope.sandbox import Job, Result, Sandbox, Start, Walls, open_sandbox
from toprope.terms import Environment

OWNERS = ("root", "user")
SOURCE = Path(toprope.__file__).parent.parent
SERVER = Path(__file__).with_name("sandbox_served.py").read_text(encoding="utf-8")
_USER = 65_534
_AS_USER: dict[str, Any] = {"user": _USER, "group": _USER, "extra_groups": [], "cwd": "/"}
_LOOK = "import sys; assert sys.version_info >= (3, 11); import toprope.sandbox"


@contextlib.contextmanager
def opened_by(owner: str, **options: Any) -> Iterator[Sandbox]:
    """A sandbox opened by "root" or by an ordinary "user"; skips where that cannot be.

    An environment of the tests' own interpreter becomes one of the user's, without packages.
    """
    root = os.geteuid() == 0
    if owner == "root" and not root:
        pytest.skip("pytest does not run as root: only an ordinary user's sandbox is tested")
    served = root and owner == "user"
    sandbox = UsersSandbox(options) if served else open_sandbox(**options)
    try:
        yield sandbox
    finally:
        sandbox.close()


@cache
def users_python() -> str:
    """An interpreter that the ordinary user may run and that can load the sandbox; or skips."""
    system = shutil.which("python3", path="/usr/bin:/usr/local/bin")
    for python in filter(None, (sys.executable, system)):
        with contextlib.suppress(OSError):
            look = subprocess.run(
                [python, "-c", _LOOK],
                env=_variables(),
                capture_output=True,
                check=False,
                **_AS_USER,
            )
            if look.returncode == 0:
                return python
    pytest.skip(
        f"user {_USER} has no Python of 3.11 or newer: {sys.executable} is closed to others, and "
        "/usr/bin and /usr/local/bin have none"
    )


@cache
def _readable_source() -> Path:
    """toprope's source where the user can read it: its own place, or a copy until we exit."""
    look = ["test", "-r", str(SOURCE / "toprope" / "sandbox" / "__init__.py")]
    if subprocess.run(look, check=False, **_AS_USER).returncode == 0:
        return SOURCE
    copy = Path(tempfile.mkdtemp(prefix="toprope-readable-"))
    atexit.register(shutil.rmtree, copy, ignore_errors=True)
    copy.chmod(0o755)
    without = shutil.ignore_patterns("__pycache__", "data")
    shutil.copytree(SOURCE / "toprope", copy / "toprope", ignore=without)
    return copy


def _variables() -> dict[str, str]:
    return {"PYTHONPATH": str(_readable_source()), "PYTHONDONTWRITEBYTECODE": "1"}


class UsersSandbox:
    """The test's end of a user's sandbox; one call at a time."""

    def __init__(self, options: dict[str, Any]) -> None:
        python = users_python()
        self._lock = threading.Lock()
        ours, theirs = socket.socketpair()
        self.process = subprocess.Popen(
            [python, "-c", SERVER, str(theirs.fileno())],
            pass_fds=[theirs.fileno()], env=_variables(), **_AS_USER,
        )  # fmt: skip
        theirs.close()
        self._stream = ours.makefile("rwb")
        ours.close()
        environments = {
            name: Environment(python=python, tools=it.tools) if it.python == sys.executable else it
            for name, it in options.get("environments", {}).items()
        }
        try:
            opened = self.ask(0, "", **{**options, "environments": environments})
        except BaseException:
            self.close()
            raise
        self.walls: Walls = opened["walls"]
        self.workers: int = opened["workers"]

    def ask(self, number: int, method: str, *arguments: Any, **named: Any) -> Any:
        """Have the server call a method of its object; returns or raises what that did."""
        with self._lock:
            pickle.dump((number, method, arguments, named), self._stream)
            self._stream.flush()
            kind, answer = pickle.load(self._stream)
        if kind == "value":
            return answer
        made_of, said, state = answer
        error = made_of.__new__(made_of, *said)
        vars(error).update(state)
        raise error

    def pids(self) -> list[int]:
        """The process ids of the workers that wait for a job."""
        return self.ask(0, "pids")

    def run(self, job: Job) -> Result:
        """Run one job."""
        return self.ask(0, "run", job)

    def open(self, start: Start) -> UsersSession:
        """Open a session."""
        return UsersSession(self, **self.ask(0, "open", start))

    def close(self) -> None:
        """End the server and what it opened."""
        with contextlib.suppress(OSError):
            self._stream.close()
        self.process.wait()


class UsersSession:
    """The test's end of a session; tests find its worker where that of a real one is."""

    def __init__(self, sandbox: UsersSandbox, number: int, guard: int) -> None:
        self._sandbox = sandbox
        self._number = number
        self._worker = SimpleNamespace(process=SimpleNamespace(pid=guard))

    def __getattr__(self, method: str) -> Any:
        """A method of the session, called by the server."""
        return lambda *arguments: self._sandbox.ask(self._number, method, *arguments)

    def __enter__(self) -> UsersSession:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

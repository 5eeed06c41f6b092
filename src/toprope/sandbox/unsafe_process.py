"""A plain process of the sandbox without walls: started in a folder, ended with its group."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

from toprope.sandbox.protocol import SandboxError
from toprope.sandbox.worker import ZYGOTE_PARENT, interpreter, variables
from toprope.terms import Environment

_BOOT = (
    "import sys; sys.path.append({folder!r}); from zygote.bare import main; "
    "sys.path.pop(); main({result}, {job!r})"
)


def start_program(
    spec: dict[str, Any],
    stdin: bytes,
    folder: str,
    environment: Environment,
    pipes: Mapping[str, int],
) -> subprocess.Popen[bytes]:
    """Start a Python program: `spec` as `zygote.bare` reads it; `pipes` are writing ends."""
    job, source = os.path.join(folder, "job.json"), os.path.join(folder, "stdin")
    with open(job, "w", encoding="ascii") as file:
        json.dump(spec, file)
    with open(source, "wb") as taken:
        taken.write(stdin)
    boot = _BOOT.format(folder=ZYGOTE_PARENT, result=pipes["result"], job=job)
    command = [*interpreter(environment), "-c", boot]
    return start(command, source, folder, variables(environment), pipes)


def start(
    command: Sequence[str | bytes],
    stdin: str,
    folder: str,
    environ: Mapping[str, str],
    pipes: Mapping[str, int],
) -> subprocess.Popen[bytes]:
    """Start a command in `folder`/work as the leader of a group of its own."""
    work = os.path.join(folder, "work")
    try:
        with open(stdin, "rb") as source:
            return subprocess.Popen(
                command,
                env={**environ, "HOME": work, "TMPDIR": folder},
                cwd=work,
                stdin=source,
                stdout=pipes["output"],
                stderr=pipes["output"],
                pass_fds=[pipes["result"]],
                start_new_session=True,
            )
    except (OSError, ValueError) as error:
        raise SandboxError(f"the process could not be started: {error}") from error


def end(process: subprocess.Popen[bytes]) -> int:
    """Kill a process and its group, and return its wait status; what left the group survives."""
    kill_group(process.pid)
    code = process.wait()
    return code << 8 if code >= 0 else -code


def kill_group(pid: int) -> None:
    """Kill what is left of a group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def group_lives(pid: int) -> bool:
    """Whether a group has any process left."""
    try:
        os.killpg(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it has, of another user
        pass
    return True

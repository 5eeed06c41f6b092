"""One worker process, seen from the trainer: start it, give it a job, read the answer.

Started by exec of a bare interpreter, never by forking the trainer: neither its threads
nor its memory reach the worker.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from toprope.sandbox import container_worker
from toprope.sandbox.advice import refusal
from toprope.sandbox.containers import Container
from toprope.sandbox.protocol import Job, Result, SandboxError, Start, WorkerDied
from toprope.sandbox.selftest import inspect_walls
from toprope.sandbox.zygote import wire
from toprope.terms import Environment, Tree

START_S = 30.0
_FAREWELL_S = 2.0
_GRACE_S = 10.0  # past a job's wall limit before the worker counts as stuck
_MOST_TREES = 4
_BOOT = (
    "import sys; sys.path.append({folder!r}); from zygote.{start} import main; "
    "sys.path.pop(); main({control}, {parent}, {slot}, {outfit!r}, *{options!r})"
)
ZYGOTE_PARENT = str(Path(__file__).resolve().parent)
# The interpreter below any virtual environment, isolated from the user's settings by an
# environment of our own (-I would also ignore the fixed hash seed).
PYTHON = os.path.realpath(getattr(sys, "_base_executable", "") or sys.executable)
FLAGS = ("-s", "-S", "-P", "-B")
ENVIRONMENT = {
    "PYTHONHASHSEED": "0",
    "LANG": "C.UTF-8",
    "PYTHONUTF8": "1",
    "TZ": "UTC",
    "HOME": "/work",
}
# With packages of its own, an interpreter has to find them: no -S.
_FURNISHED_FLAGS = ("-s", "-B")
_FURNISHED = {
    "PYTHONSAFEPATH": "1",
    "HOME": "/box/work",
    "TMPDIR": "/box/tmp",
}
_PATH = "/usr/local/bin:/usr/bin:/bin"


class Worker:
    """A warm interpreter behind its walls. Not for use by two threads at once.

    `start` names the file of `zygote` that raises the walls, `options` what else it is told;
    `stands` is what it said of them. `ending` is the signal that ends all of it.
    """

    def __init__(
        self,
        slot: int,
        environment: Environment | None = None,
        start: str = "main",
        options: tuple[int, ...] = (),
        ending: signal.Signals = signal.SIGKILL,
    ) -> None:
        self._ending = ending
        self.environment = environment or Environment()
        self.trees: list[str] = []  # those it has unpacked, the latest used last
        given = variables(self.environment)
        self.sock: socket.socket
        self.process: subprocess.Popen[bytes] | Container
        if self.environment.image:
            self.sock, self.process = container_worker.start(slot, self.environment, given)
        else:
            self.sock, self.process = _start(start, options, slot, self.environment, given)
        try:
            self._await_ready()
            if self.environment.image:
                inspect_walls(self)  # another root and another kernel's leave than were tested
        except BaseException:
            self.kill()
            raise

    def waits(self) -> bool:
        """Whether it is alive and silent, as between two jobs; the next is not to blame if not."""
        poller = select.poll()
        poller.register(self.sock, select.POLLIN)
        return not poller.poll(0)

    def run(self, job: Job) -> Result:
        """Run a job; any failure of ours is a `SandboxError` and leaves the worker unusable."""
        header = {**self._furniture(job), "trusted": job.trusted}
        blobs = [job.program.encode("utf-8", "surrogatepass"), job.stdin]
        answer, said = self.ask(header, blobs, job.limits.wall_s, f"ran job {job.id}")
        try:
            stdout, result = said
            return Result(stdout=stdout, result=result, **answer)
        except (ValueError, TypeError) as error:
            raise SandboxError(f"the sandbox gave no valid answer to job {job.id}") from error

    def open(self, start: Start) -> None:
        """Begin a session; from then on, until its "close", `ask` speaks to its room."""
        header = {**self._furniture(start), "session": True}
        self.ask(header, [], _GRACE_S, f"opened session {start.id}")

    def ask(
        self, header: dict[str, Any], blobs: list[bytes], seconds: float, what: str
    ) -> tuple[dict[str, Any], list[bytes]]:
        """Send one frame and wait for its answer, which should take at most `seconds`.

        Raises `SandboxError` for any failure of ours; `what` tells it what the worker did.
        """
        deadline = time.monotonic() + seconds + _GRACE_S
        try:
            self.sock.settimeout(_GRACE_S)
            wire.send(self.sock, header, blobs)
            answer, said = wire.receive(self.sock, deadline)
        except (EOFError, OSError) as error:
            raise WorkerDied(f"the sandbox worker was lost while it {what}") from error
        except (ValueError, TypeError, KeyError, wire.BadFrame) as error:
            raise SandboxError(f"no valid frame could be exchanged as it {what}") from error
        if "infra" in answer:
            raise SandboxError(f"the sandbox failed while it {what}: {answer['infra']}")
        return answer, said

    def _furniture(self, start: Job | Start) -> dict[str, Any]:
        return {
            "files": dict(start.files),
            "limits": asdict(start.limits),
            "removed": list(start.removed),
            **self._tree(start.tree),
        }

    def _tree(self, tree: Tree | None) -> dict[str, Any]:
        """What the worker must hear of a tree: its name, its files once, and what to forget."""
        if tree is None:
            return {}
        told: dict[str, Any] = {"tree": tree.hash}
        if tree.hash in self.trees:
            self.trees.remove(tree.hash)
        else:
            told["tree_files"] = dict(tree.files)
            if len(self.trees) >= _MOST_TREES:
                told["forget"] = self.trees.pop(0)
        self.trees.append(tree.hash)
        return told

    def close(self) -> None:
        """End an idle worker: it leaves by itself when its socket closes."""
        self.sock.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(_FAREWELL_S)
        self.kill()

    def kill(self) -> None:
        """End the worker and every process in it, now."""
        self.sock.close()
        self.process.send_signal(self._ending)
        try:
            self.process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stderr:
            self.process.stderr.close()

    def _await_ready(self) -> None:
        try:
            answer, _ = wire.receive(self.sock, time.monotonic() + START_S)
        except (EOFError, OSError, ValueError, KeyError, wire.BadFrame) as error:
            self.process.kill()
            _, said = self.process.communicate()
            last = said.decode("utf-8", "replace").strip().rpartition("\n")[2]
            raise SandboxError(f"the sandbox worker did not start: {last or error}") from error
        if not answer.get("ready"):
            where = self.environment.image
            raise refusal(answer["step"], answer["errno"], answer["error"], image=where)
        self.stands: dict[str, Any] = answer


def _start(
    start: str,
    options: tuple[int, ...],
    slot: int,
    environment: Environment,
    given: dict[str, str],
) -> tuple[socket.socket, subprocess.Popen[bytes]]:
    ours, theirs = socket.socketpair()
    boot = _BOOT.format(
        folder=ZYGOTE_PARENT, start=start, options=options, control=theirs.fileno(),
        parent=os.getpid(), slot=slot, outfit=asdict(environment),
    )  # fmt: skip
    try:
        return ours, subprocess.Popen(
            [*interpreter(environment), "-c", boot],
            env=given,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        )
    except OSError as error:
        ours.close()
        raise refusal("interpreter", error.errno, str(error)) from error
    finally:
        theirs.close()


def interpreter(environment: Environment) -> list[str]:
    """The command that starts an environment's interpreter, shielded from the user's settings."""
    if not environment.python:
        return [PYTHON, *FLAGS]
    return [environment.python, *_FURNISHED_FLAGS]


def variables(environment: Environment) -> dict[str, str]:
    """The variables that jobs of an environment see; the trainer's own are not among them."""
    if not environment.python and not environment.tools and not environment.image:
        return ENVIRONMENT
    path = f"{os.path.dirname(environment.python or PYTHON)}:{_PATH}"
    return {**ENVIRONMENT, **_FURNISHED, "PATH": path, **dict(environment.variables)}

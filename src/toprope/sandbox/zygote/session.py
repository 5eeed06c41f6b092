"""The room of a session: its first process stays, and does one request after the other.

It is trusted, and out of reach of what it starts: not traceable, without a handler for any
signal, and what it hears and answers through is closed in every child. It must not
interpret what untrusted code wrote.
"""

from __future__ import annotations

import ctypes
import os
import select
import socket
from types import CodeType
from typing import Any, NoReturn

from . import changes, commands, files, room, rooms, wire
from .programs import Programs

SPARE_PROCESSES = 4  # that a bomb can start beyond the limit, so that the watchdog sees it
CONTROL_FD = 5
_REAP_MS = 100


def live(
    spec: dict[str, Any],
    tree: dict[str, bytes],
    pipes: dict[str, int],
    programs: Programs,
    filter_program: ctypes.Structure,
) -> NoReturn:
    """Never returns: furnishes the room, says so through the status pipe, serves `control`.

    `tree` holds the digests of the tree that the workspace starts from.
    """
    try:
        room.furnish(spec)
        before = beginning(spec, tree)
        null = os.open(os.devnull, os.O_RDWR)
        standard = {0: null, 1: null, 2: null, room.RESULT_FD: null}
        room.arrange({**standard, room.STATUS_FD: pipes["status"], CONTROL_FD: pipes["control"]})
        pipes["status"] = room.STATUS_FD
        room.lock(spec["limits"], filter_program, SPARE_PROCESSES)
        resident = Resident(spec["limits"], before, programs)
        open_up()
        resident.forever()
    except BaseException as error:
        room.tell(pipes["status"], f"E{type(error).__name__}: {error}")
    finally:
        os._exit(1)


def beginning(spec: dict[str, Any], tree: dict[str, bytes]) -> dict[str, bytes]:
    """The digests of all files that a session starts with."""
    before = {path: seal for path, seal in tree.items() if path not in spec["removed"]}
    for path, text in spec["files"].items():
        before[os.path.normpath(path)] = changes.digest(files.as_bytes(text))
    return before


def open_up() -> None:
    """Say that the room is ready; its first status pipe is of no more use."""
    room.tell(room.STATUS_FD, "D")
    os.dup2(0, room.STATUS_FD, inheritable=False)


class Resident:
    """The loop of the first process. An answer is a letter and a text on the status pipe.

    P: a process was started. W: it ended, with its wait status. D: done. N: a path was
    refused. T: too much has changed. L: no process can be started. E: a failure of ours.
    """

    def __init__(
        self, limits: dict[str, Any], before: dict[str, bytes], programs: Programs
    ) -> None:
        self.limits = limits
        self.cpu_s = commands.longest(limits["cpu_s"])
        self.before = before
        self.programs = programs
        self.root = os.open(".", os.O_RDONLY | os.O_DIRECTORY)
        self.control = socket.socket(fileno=CONTROL_FD)

    def forever(self) -> None:
        """Serve until the worker closes its end."""
        while True:
            self._rest()
            request, (blob,) = wire.receive(self.control)
            self._hear(request)
            pipes = self._pipes()
            try:
                said = self._do(request, blob, pipes)
            except files.Refused as refusal:
                said = f"N{refusal}"
            except changes.TooMuch as excess:
                said = f"T{excess}"
            except BlockingIOError as error:  # fork: too many processes
                said = f"L{error}"
            except Exception as error:
                said = f"E{type(error).__name__}: {error}"
            room.tell(pipes["status"], said)
            for name in rooms.PIPES:
                os.close(pipes[name])

    def _pipes(self) -> dict[str, int]:
        _, fds, _, _ = socket.recv_fds(self.control, 1, len(rooms.PIPES))
        for fd in fds:
            os.set_inheritable(fd, False)
        return {**dict(zip(rooms.PIPES, fds)), "control": CONTROL_FD}  # noqa: B905 - 3.9

    def _do(self, request: dict[str, Any], blob: bytes, pipes: dict[str, int]) -> str:
        action = request["do"]
        if action == "run":
            return self._run(request["command"], pipes)
        if action == "python":
            code = self.programs.compiled(request["program"])
            return self._ended(self._python(code, blob, pipes), pipes)
        if action == "write":
            self._write(request["path"], blob)
            return "D"
        if action == "read":
            content = files.read(self.root, request["path"], self.limits["output_bytes"])
        else:
            content = _packed(changes.since(self.root, self.before))
        with os.fdopen(os.dup(pipes["result"]), "wb") as result:
            result.write(content)
        return "D"

    def _run(self, command: str, pipes: dict[str, int]) -> str:
        try:
            return self._ended(self._shell(command, pipes), pipes)
        except commands.NotStarted as reason:
            os.write(pipes["output"], f"{reason}\n".encode("utf-8", "replace"))
            return f"W{reason.code << 8}"

    def _ended(self, leader: int, pipes: dict[str, int]) -> str:
        room.tell(pipes["status"], f"P{leader}\n")
        return f"W{self._wait(leader)}"

    # What another wall does in its own way.

    def _rest(self) -> None:
        """Wait for a request; meanwhile take leave of what ended in the background."""
        poller = select.poll()
        poller.register(self.control, select.POLLIN)
        while not poller.poll(_REAP_MS):
            _reap()

    def _hear(self, request: dict[str, Any]) -> None:
        """Take note of what a request says of the machine."""

    def _write(self, path: str, content: bytes) -> None:
        files.write(self.root, path, content)

    def _shell(self, command: str, pipes: dict[str, int]) -> int:
        return commands.shell(command, pipes, self.cpu_s)

    def _python(self, code: str | CodeType, stdin: bytes, pipes: dict[str, int]) -> int:
        return commands.python(code, stdin, pipes, self.cpu_s)

    def _wait(self, leader: int) -> int:
        return room.wait_for(leader)


def _packed(changed: dict[str, bytes | None]) -> bytes:
    there = {path: content for path, content in changed.items() if content is not None}
    gone = [path for path, content in changed.items() if content is None]
    return wire.pack({"gone": gone, "paths": list(there)}, list(there.values()))


def _reap() -> None:
    """Take leave of what ended in the background: the kernel counts it until then."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass

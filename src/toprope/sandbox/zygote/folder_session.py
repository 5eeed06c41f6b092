"""The room of a session where there are no namespaces: each command enters the rules anew.

The first process stays outside them, as that of a job does, and so can answer petitions; what
it starts cannot name it to any call that would be allowed.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable
from types import CodeType
from typing import Any, NoReturn

from . import commands, disk, files, folder_room, payload, room, session
from .attendant import Attendant
from .folder_room import Fence
from .programs import Programs

_FOLDERS = 1 << 15  # what folders and the last block of a file take besides


def live(
    spec: dict[str, Any],
    tree: dict[str, bytes],
    pipes: dict[str, int],
    programs: Programs,
    fence: Fence,
    most_bytes: int,
) -> NoReturn:
    """Never returns: see `session.live`; the box may hold `most_bytes`."""
    try:
        folder_room.settle()
        folder_room.furnish(spec, fence)
        before = session.beginning(spec, tree)
        folder_room.arrange(
            dict.fromkeys((0, 1, 2, room.RESULT_FD), os.open(os.devnull, os.O_RDWR)),
            pipes["status"], pipes["control"], fence,
        )  # fmt: skip
        pipes["status"] = room.STATUS_FD
        resident = FolderResident(spec["limits"], before, programs, fence, most_bytes)
        session.open_up()
        resident.forever()
    except BaseException as error:
        room.tell(pipes["status"], f"E{type(error).__name__}: {error}")
    finally:
        os._exit(1)


class FolderResident(session.Resident):
    """Starts its commands behind the rules, and sees that what it writes itself has room."""

    def __init__(
        self,
        limits: dict[str, Any],
        before: dict[str, bytes],
        programs: Programs,
        fence: Fence,
        most_bytes: int,
    ) -> None:
        super().__init__(limits, before, programs)
        self.fence = fence
        self.attendant = Attendant()
        self.most_bytes = most_bytes

    def _rest(self) -> None:
        self.attendant.rest(self.control.fileno())

    def _hear(self, request: dict[str, Any]) -> None:
        self.limits["user_processes"] = request["user_processes"]

    def _write(self, path: str, content: bytes) -> None:
        held = disk.used(self.fence.box).size - _taken(self.root, path)
        if held + len(content) + _FOLDERS > self.most_bytes:
            raise files.Refused(f"{path} cannot be used: No space left on device")
        super()._write(path, content)

    def _shell(self, command: str, pipes: dict[str, int]) -> int:
        return self._start(pipes, b"", lambda: _become_shell(command))

    def _python(self, code: str | CodeType, stdin: bytes, pipes: dict[str, int]) -> int:
        return self._start(pipes, stdin, lambda: payload.run(code, room.RESULT_FD))

    def _wait(self, leader: int) -> int:
        return self.attendant.wait(leader)

    def _start(self, pipes: dict[str, int], stdin: bytes, become: Callable[[], NoReturn]) -> int:
        # Not in the box, whose folders a session may have removed.
        source = room.source(stdin, self.fence.trees)
        places = {
            0: source,
            1: pipes["output"],
            2: pipes["output"],
            room.RESULT_FD: pipes["result"],
        }
        try:
            leader, clerk = folder_room.start(self.fence, self.limits, self.cpu_s, places, become)
        finally:
            os.close(source)
        self.attendant.introduce(clerk)
        return leader


def _taken(root: int, path: str) -> int:
    """The bytes on the disk of a file that is there already."""
    with contextlib.suppress(OSError, ValueError):
        return os.stat(path, dir_fd=root, follow_symlinks=False).st_blocks * disk.BLOCK
    return 0


def _become_shell(command: str) -> NoReturn:
    """Execute a command line with the first shell that the rules allow."""
    for ignored_by_python in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(ignored_by_python, signal.SIG_DFL)
    code, why = commands.NOT_FOUND, commands.NO_SHELL
    for path in commands.SHELLS:
        line: list[str | bytes] = [path, "-c", files.as_bytes(command)]
        try:
            os.execve(path, line, commands.variables(dict(os.environ)))
        except (FileNotFoundError, PermissionError):
            continue
        except (OSError, ValueError) as error:
            code, why = commands.CANNOT_START, f"the command cannot be started: {error}"
            break
    os.write(2, f"{why}\n".encode("utf-8", "replace"))
    os._exit(code)

"""One turn done for real: a room with the files as the last turn left them, and what is seen.

Each turn has a room of its own, so that any number of attempts can be under way in few
rooms, and a turn that a fault of ours cost is simply done again. What lives beside files
(processes, folders outside) ends with the turn. It knows no model and no tokens.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from toprope.grading.suites import limits as suite_limits
from toprope.harness.turns.desk import Desk
from toprope.harness.turns.dialects import TurnDialect
from toprope.harness.turns.play import Answered, TurnLimits, take_turn
from toprope.harness.turns.state import packed, unpacked
from toprope.sandbox.protocol import (
    Limits,
    NotAFile,
    Result,
    Sandbox,
    Session,
    SessionEnded,
    Start,
    TooMuchChanged,
)
from toprope.terms import Task

SUBMITTED, CHANGES = "submitted", "changes"


@dataclass(frozen=True, slots=True)
class Acted:
    """What became of a turn: JSON values, so that it can be kept and not be done again.

    `actions` are their names (none: unreadable), `files` the state after it, packed; `end` is
    "", "submitted", or "changes" where it changed more than can be told. `seconds` are its own.
    """

    actions: tuple[str, ...]
    observation: str
    files: Mapping[str, Any]
    end: str
    seconds: float


def act(
    name: str,
    task: Task,
    dialect: TurnDialect,
    text: str,
    files: Mapping[str, Any],
    sandbox: Sandbox,
    limits: TurnLimits,
) -> Acted:
    """Do what a message asks for on the packed `files`; raises `SandboxError` for our failures."""
    began = time.monotonic()
    before = unpacked(task, files)
    with _Later(sandbox, _start(name, task, before)) as room:
        desk = Desk(task, room, limits.command_s, before)
        turn, end = take_turn(Answered(text, 0), dialect, desk, limits)
        after = files
        try:
            desk.look_again()
            after = packed(task, desk.files)
        except SessionEnded:
            pass  # a command was too much for its room: what it did is gone with it
        except (NotAFile, TooMuchChanged):
            end = CHANGES
    return Acted(turn.actions, turn.observation, after, end, time.monotonic() - began)


class _Later:
    """A session that is opened by the first who needs it: to look at files, nobody does."""

    def __init__(self, sandbox: Sandbox, start: Start) -> None:
        self.sandbox, self.start = sandbox, start
        self._session: Session | None = None

    def run(self, command: str, seconds: float) -> Result:
        """Run a command line in the workspace."""
        return self._opened().run(command, seconds)

    def write(self, path: str, text: str) -> None:
        """Make this the whole text of a file."""
        self._opened().write(path, text)

    def changed(self) -> dict[str, str | None]:
        """The files that differ from the start, None for those that are gone."""
        return self._session.changed() if self._session else {}

    def _opened(self) -> Session:
        self._session = self._session or self.sandbox.open(self.start)
        return self._session

    def __enter__(self) -> _Later:
        return self

    def __exit__(self, *_: object) -> None:
        if self._session:
            self._session.close()


def _start(name: str, task: Task, files: Mapping[str, str]) -> Start:
    """A room with these files, of which the task's tree is there already."""
    tree = task.tree.files if task.tree else {}
    return Start(
        name,
        {path: text for path, text in files.items() if tree.get(path) != text},
        task.tree,
        tuple(path for path in tree if path not in files),
        task.suite.environment if task.suite else "",
        suite_limits(task.suite) if task.suite else Limits(),
    )

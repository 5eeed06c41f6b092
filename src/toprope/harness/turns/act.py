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
    Sandbox,
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
    try:
        session = sandbox.open(_start(name, task, before))
    except SessionEnded as fault:
        return Acted((), str(fault), files, CHANGES, time.monotonic() - began)
    with session:
        desk = Desk(task, session, limits.command_s, before)
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

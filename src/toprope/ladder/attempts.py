"""A verified attempt to help with: asked one at a time, until one has a form or none is left."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from toprope.ladder.rung import Cold
from toprope.ledger.rows import NOT_GIVEN
from toprope.teacher.protocol import BudgetExhausted, Teacher
from toprope.terms import Attempt, Outcome, Task

ATTEMPTS = 8
ASKING = ("3", "4", "5")  # the rungs that ask for one attempt, and share it

Usable = Callable[[Task, str], bool]


class Asked(NamedTuple):
    """The attempt that can be used, if any, and those that are new to the books."""

    action: str
    attempt_id: str
    new: tuple[Attempt, ...]


def ask(teacher: Teacher, cold: Cold, usable: Usable) -> Asked:
    """Return the first verified attempt with a form in the student's dialect; action '' if none.

    A teacher gives the same attempts to the same question and is paid once; only the first
    rung that asks for a task books them.
    """
    asked: list[Attempt] = []
    found = None
    for at in range(ATTEMPTS):
        attempts = _one(teacher, cold.task, at)
        asked += attempts
        found = next((a for a in attempts if _good(a, usable, cold.task)), None)
        if found or not attempts:
            break
    known = any(use.rung in ASKING for use in cold.uses)
    new = () if known else tuple(asked)
    return Asked(found.action or "", found.id, new) if found else Asked("", "", new)


def nothing_given(cold: Cold, number: str) -> bool:
    """Return whether a rung was booked as having found nothing to help a task with."""
    return any(use.setting == NOT_GIVEN for use in cold.given(number))


def _one(teacher: Teacher, task: Task, at: int) -> list[Attempt]:
    try:
        return teacher.attempts(task, 1, start=at)
    except BudgetExhausted:
        return []  # an ordinary state: what was asked before it still counts


def _good(attempt: Attempt, usable: Usable, task: Task) -> bool:
    if attempt.outcome is not Outcome.PASSED or not attempt.action:
        return False
    return usable(task, attempt.action)

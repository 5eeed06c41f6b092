"""What every rung of the ladder is: it looks at cold tasks and says what help they get.

A rung decides; it neither samples nor trains. What it decides comes back as `Help`, which
the climb carries out and books in the ledger.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from toprope.terms import Attempt, Task


@dataclass(frozen=True, slots=True)
class Cold:
    """A cold or parked task as a rung sees it."""

    task: Task
    never_seeded: bool
    pilots: int  # re-pilots made so far
    last_look: int  # iteration of the last pilot, or of the cold test
    helped_by: tuple[str, ...]  # rungs given before, in order


@dataclass(frozen=True, slots=True)
class Demonstration:
    """A verified attempt, as the action `N|line`, to be imitated in the student's dialect."""

    task: Task
    action: str
    attempt_id: str
    teacher_tokens: int  # prompt and completion of every attempt it took, failures included


@dataclass(frozen=True, slots=True)
class Help:
    """What one rung does in one iteration."""

    rung: str
    pilots: tuple[Task, ...] = ()
    demonstrations: tuple[Demonstration, ...] = ()
    attempts: tuple[Attempt, ...] = ()  # all that were asked of the teacher, for the books
    gave_up: tuple[str, ...] = ()  # tasks that this rung cannot help


class Rung(Protocol):
    """One way of helping."""

    number: str
    name: str

    def help(self, cold: Sequence[Cold], *, iteration: int) -> Help | None:
        """Return what to do for these tasks now, or None when nothing is due or left to do."""
        ...

    def waiting(self, cold: Sequence[Cold]) -> bool:
        """Return whether this rung will change the policy once cheaper ones were tried."""
        ...

"""Rung 0, more samples: cold tasks are looked at again, because tasks thaw by transfer."""

from __future__ import annotations

from collections.abc import Sequence

from toprope.ladder.rung import Cold, Help
from toprope.ledger.states import pilot_due


class Resample:
    """Re-pilots after 1, 2, 4, 8 … updates, at most `per_step` tasks an iteration.

    The first time at least `first_look`: dearer rungs take only tasks that were piloted, and
    would have next to nothing to choose from.
    """

    number = "0"
    name = "more samples"
    needs = "nothing"
    costs = "student tokens only: 8 plain draws a look"

    def __init__(self, per_step: int, first_look: int = 0) -> None:
        self.per_step, self.first_look = per_step, first_look

    def suits(self, cold: Cold) -> bool:
        """Return True: any task may be looked at again."""
        return True

    def gave_up(self, cold: Cold) -> bool:
        """Return False: cold is a state and never the last word."""
        return False

    def help(self, cold: Sequence[Cold], *, iteration: int) -> Help | None:
        """Return the pilots that are due, those that waited longest first."""
        due = [c for c in cold if pilot_due(iteration, c.last_look, c.pilots)]
        due.sort(key=lambda c: (c.last_look, c.task.id))
        none_yet = not any(c.pilots for c in cold)
        most = max(self.per_step, self.first_look) if none_yet else self.per_step
        if not due or not most:
            return None
        return Help(self.number, pilots=tuple(c.task for c in due[:most]))

    def waiting(self, cold: Sequence[Cold]) -> bool:
        """Return False: looking again changes no policy."""
        return False

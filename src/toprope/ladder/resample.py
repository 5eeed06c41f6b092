"""Rung 0, more samples: cold tasks are looked at again, because tasks thaw by transfer."""

from __future__ import annotations

from collections.abc import Sequence

from toprope.ladder.rung import Cold, Help
from toprope.ledger.states import pilot_due


class Resample:
    """Re-pilots after 1, 2, 4, 8 … updates, at most `per_step` tasks an iteration."""

    number = "0"
    name = "more samples"

    def __init__(self, per_step: int) -> None:
        self.per_step = per_step

    def help(self, cold: Sequence[Cold], *, iteration: int) -> Help | None:
        """Return the pilots that are due, those that waited longest first."""
        due = [c for c in cold if pilot_due(iteration, c.last_look, c.pilots)]
        due.sort(key=lambda c: (c.last_look, c.task.id))
        if not due or not self.per_step:
            return None
        return Help(self.number, pilots=tuple(c.task for c in due[: self.per_step]))

    def waiting(self, cold: Sequence[Cold]) -> bool:
        """Return False: looking again changes no policy."""
        return False

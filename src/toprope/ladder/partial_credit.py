"""Rung 1, partial credit: for a cold task, the share of the hidden tests that pass is a reward.

The bipolar form s − 1 keeps every partial success below a whole one, so that nothing is
gained by passing almost all of the tests (dense, then binary: arXiv:2509.21016). It ends
with the first thaw: a live task's reward is binary.
"""

from __future__ import annotations

from collections.abc import Sequence

from toprope.ladder.rung import Cold, Help, Practice, in_turn
from toprope.ledger.diagnosis import Diagnosis
from toprope.terms import Mode, Outcome


def credit(outcome: Outcome, passed: int | None, tests: int | None) -> float:
    """Return 1 for a success, else the share of the required tests that pass, minus 1.

    An answer that is no action, that cheats, or whose tests did not run gets −1.
    """
    if outcome is Outcome.PASSED:
        return 1.0
    if outcome in (Outcome.MALFORMED, Outcome.HACK) or not tests or passed is None:
        return -1.0
    return passed / tests - 1.0


class PartialCredit:
    """Plain groups of cold tasks whose episodes pass unequal shares of the hidden tests."""

    number = "1"
    name = "partial credit"
    needs = "a group whose episodes pass unequal shares of the hidden tests"
    costs = "student tokens only: a plain group and a step on it"

    def __init__(self, *, tasks: int, patience: int) -> None:
        self.tasks, self.patience = tasks, patience

    def suits(self, cold: Cold) -> bool:
        """Return whether the newest draws differ in their share: else there is no gradient."""
        return cold.diagnosis is Diagnosis.NEAR and cold.shares_differ

    def gave_up(self, cold: Cold) -> bool:
        """Return whether the groups that a task may have are used up."""
        return len(cold.given(self.number)) >= self.patience

    def help(self, cold: Sequence[Cold], *, iteration: int) -> Help | None:
        """Return the groups to draw and to reward by share."""
        chosen = in_turn(cold, self.number, self.tasks)
        if not chosen:
            return None
        groups = (Practice(c.task, Mode.PLAIN, setting="share", credit=True) for c in chosen)
        return Help(self.number, practice=tuple(groups))

    def waiting(self, cold: Sequence[Cold]) -> bool:
        """Return False: reinforcement goes on beside it."""
        return False

"""Rung 2, retry with feedback: the student sees its own failing attempt and what the tests said.

Verified successes are imitated as answers to the plain prompt, by the very tokens that the
student sampled. No teacher token is in them; they are booked as `self`, and never as
evidence of ability.
"""

from __future__ import annotations

from collections.abc import Sequence

from toprope.ladder.rung import Cold, Help, Practice, in_turn
from toprope.ledger.diagnosis import Diagnosis
from toprope.terms import Mode

MOST_GOOD = 4  # a task's uses that may end in imitation
MOST_IN_VAIN = 2  # uses in a row without a success


def feedback(answer: str, why: str) -> str:
    """Return what is added to the prompt: the failing answer, and what became of it."""
    return f"Your answer\n{answer.rstrip()}\nfailed: {why}\nAnswer again."


class Retry:
    """Asks the student again, with its failing attempt and the tests' words in the prompt."""

    number = "2"
    name = "retry with feedback"
    needs = "well-formed attempts that fail"
    costs = "student tokens only: a plain group, a group of retries, and imitation of successes"

    def __init__(self, *, tasks: int, patience: int) -> None:
        self.tasks, self.patience = tasks, patience

    def suits(self, cold: Cold) -> bool:
        """Return whether the student keeps to the form: tests say nothing of what is no action."""
        return cold.diagnosis in (Diagnosis.NEAR, Diagnosis.FAR)

    def gave_up(self, cold: Cold) -> bool:
        """Return whether two uses in a row were in vain, four were not, or all are used up."""
        uses = cold.given(self.number)
        vain = len(uses) >= MOST_IN_VAIN and not any(u.passed for u in uses[-MOST_IN_VAIN:])
        good = sum(use.passed > 0 for use in uses)
        return vain or good >= MOST_GOOD or len(uses) >= self.patience

    def help(self, cold: Sequence[Cold], *, iteration: int) -> Help | None:
        """Return the tasks to try again."""
        chosen = in_turn(cold, self.number, self.tasks)
        if not chosen:
            return None
        again = (Practice(c.task, Mode.RETRIED, setting="feedback") for c in chosen)
        return Help(self.number, practice=tuple(again))

    def waiting(self, cold: Sequence[Cold]) -> bool:
        """Return False: reinforcement goes on beside it."""
        return False

"""Counts steps that were not taken because a number in them was not finite, and when it is enough.

A step is skipped whole: weights and moments stay as they were. What is told lies in the ledger
as a note of the iteration, so that a resumed run counts on from what is committed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from toprope.terms import TopropeError

NOTE = "skipped_steps"
ENOUGH = 3  # skipped steps in a row


class LearningFails(TopropeError):
    """Several steps in a row had a loss or gradient that was not finite."""


class Health:
    """What the learner's steps of the open iteration came to."""

    def __init__(self) -> None:
        self.in_a_row = 0
        self.why: list[str] = []
        self.say: Callable[[str], None] = lambda text: None
        self._noted = 0

    def resume(self, note: Any) -> None:
        """Count on from a run's last note."""
        self.in_a_row = self._noted = int(note["in_a_row"]) if note else 0
        self.why = []

    def count(self, phase: str, skipped: str) -> None:
        """Take note of a step: `skipped` is why it was not taken, '' if it was.

        Raises:
            LearningFails: it was one too many in a row.
        """
        if not skipped:
            self.in_a_row = 0
            return
        self.in_a_row += 1
        self.why.append(f"{phase}: {skipped}")
        self.say(f"learner: a step was skipped and the weights left as they were, {skipped}")
        if self.in_a_row >= ENOUGH:
            raise LearningFails(
                f"{self.in_a_row} training steps in a row could not be taken ({skipped}): the "
                "weights are as before the first of them and everything up to the last committed "
                "iteration is safe; the same command tries again from there. If it stops here "
                'again, climb in another --run with student.dtype="float32" or lower learning '
                "rates (seeding.learning_rate, climbing.learning_rate)"
            )

    def drain(self) -> dict[str, Any] | None:
        """Return the iteration's note, or None if there is nothing new, and start anew."""
        if not self.why and self.in_a_row == self._noted:
            return None
        note = {"in_a_row": self.in_a_row, "why": self.why}
        self._noted, self.why = self.in_a_row, []
        return note

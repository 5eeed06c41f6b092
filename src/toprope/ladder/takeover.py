"""Rung 5, take over: the student plays some turns, a teacher finishes from where they led.

Verified successes are imitated on the teacher's turns alone, so the student learns what to do
in the states that it comes to itself (DAgger, arXiv:1011.0686; over turns arXiv:2512.14895,
2605.12913). The teacher's share of the turns decays to 0 with each try at a task.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import ceil

from toprope.ladder.attempts import Usable, ask, nothing_given
from toprope.ladder.rung import Cold, Help, Practice, in_turn
from toprope.ledger.diagnosis import Diagnosis
from toprope.teacher.protocol import Teacher
from toprope.terms import Attempt, Mode

TRIES = 4  # of a task, until the teacher's share is 0
STATES = 2  # failing attempts of a group that the teacher goes on from
FEWEST = 3  # turns that are left to the teacher: to look, to change, to hand in


def teacher_share(tries: int, most: int) -> Fraction:
    """Return the share of the turns that the teacher takes after so many tries of `most`.

    `max(0, 1 - (tries + 1) / (most + 1))`: with four, 4/5, 3/5, 2/5, 1/5, and then none.
    """
    return max(Fraction(0), 1 - Fraction(tries + 1, most + 1))


def hand_over(share: Fraction, played: int, most: int) -> int:
    """Return after how many of the `played` turns of an attempt the teacher takes over.

    The student keeps its share of them, rounded up, but never the last one, which ended in
    failure, nor so many of the `most` that an episode may have that no room is left.
    """
    return max(0, min(ceil((1 - share) * played), played - 1, most - FEWEST))


class TakeOver:
    """Finishes failing attempts, in at most `TRIES` tries a task.

    A teacher that `speaks` takes the turns itself; of another a verified attempt is told, from
    the state at hand, in the student's dialect.
    """

    number = "5"
    name = "take over"
    needs = "episodes over turns, and someone who can finish one"
    costs = "a plain group, the teacher's turns from two of its episodes, supervised steps"

    def __init__(
        self, teacher: Teacher, *, tasks: int, patience: int, usable: Usable, speaks: bool
    ) -> None:
        self.teacher, self.usable, self.speaks = teacher, usable, speaks
        self.tasks, self.patience = tasks, patience

    def share(self, cold: Cold) -> Fraction:
        """Return the teacher's share in the next try: what was lost to us was none."""
        tries = sum(use.drawn > 0 for use in cold.given(self.number))
        return teacher_share(tries, min(TRIES, self.patience))

    def suits(self, cold: Cold) -> bool:
        """Return True but where nothing is known: turns that are no actions lead somewhere, too."""
        return cold.diagnosis is not Diagnosis.INFRA

    def gave_up(self, cold: Cold) -> bool:
        """Return whether the teacher's share is 0, it gave nothing, or all uses are made."""
        uses = cold.given(self.number)
        spent = not self.share(cold) or len(uses) >= self.patience
        return spent or nothing_given(cold, self.number)

    def help(self, cold: Sequence[Cold], *, iteration: int) -> Help | None:
        """Return the tasks to take over; a task whose fix nobody knows is given up."""
        practice: list[Practice] = []
        new: list[Attempt] = []
        unknown: list[str] = []
        for one in in_turn(cold, self.number, self.tasks):
            share, action, attempt_id = self.share(one), "", ""
            if not self.speaks:
                asked = ask(self.teacher, one, self.usable)
                new += asked.new
                action, attempt_id = asked.action, asked.attempt_id
                if not action:
                    unknown.append(one.task.id)
                    continue
            practice.append(
                Practice(
                    one.task, Mode.TAKEN, setting=f"{share} of the turns", action=action,
                    share=share, attempt_id=attempt_id,
                )
            )  # fmt: skip
        if not practice and not unknown:
            return None
        return Help(
            self.number, practice=tuple(practice), attempts=tuple(new), gave_up=tuple(unknown)
        )

    def waiting(self, cold: Sequence[Cold]) -> bool:
        """Return False: reinforcement goes on beside it."""
        return False

"""Rung 4, prefix: the student goes on from the first k of the K tokens of a correct answer.

k is searched by halving for a mixed group, then withdrawn to 0 as the pass rate reaches .5
(arXiv:2506.17211, arXiv:2601.18795). The prefix stands where the prompt ends, so no loss is
taken on it. A verified answer of the teacher, or the reference, encoded once, is the source.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from toprope.ladder.attempts import Usable, ask, nothing_given
from toprope.ladder.rung import Cold, Help, Practice, Use, in_turn
from toprope.ledger.diagnosis import Diagnosis
from toprope.teacher.protocol import Teacher
from toprope.terms import Attempt, Mode, Task

WITHDRAW_AT = 0.5


def next_length(uses: Sequence[Use], whole: int) -> int | None:
    """Return how many of the `whole` tokens to give after these uses; None: no length helps.

    Without a success more is given, at a pass rate of .5 less, by halving what is undecided;
    between, the group is mixed and the length stays. Once all shorter lengths are ruled out,
    they are tried anew, for the student has learned since.
    """
    low, high, length = 0, whole, whole // 2
    for use in uses:
        if not use.drawn:
            continue  # lost to failures of ours
        length = kept(use.setting)
        if not use.passed:
            low = length + 1
            if low >= whole:
                return None
            high = high if high >= low else whole
            length = min((low + high) // 2, whole - 1)
        elif use.passed >= WITHDRAW_AT * use.drawn:
            high = length
            low = low if low < high else 0
            length = (low + high) // 2
    return length


def kept(setting: str) -> int:
    """Return the k of a setting `k/K`."""
    return int(setting.partition("/")[0])


class Prefix:
    """Groups that begin within a correct answer, at most `patience` a task.

    `length` says how many tokens an action has in the student's dialect, its end apart.
    """

    number = "4"
    name = "prefix"
    needs = "someone who knows the fix"
    costs = "at most 8 teacher attempts a task, prefix tokens, a begun and a plain group a step"

    def __init__(
        self,
        teacher: Teacher,
        *,
        tasks: int,
        patience: int,
        usable: Usable,
        length: Callable[[Task, str], int],
    ) -> None:
        self.teacher, self.usable, self.length = teacher, usable, length
        self.tasks, self.patience = tasks, patience

    def suits(self, cold: Cold) -> bool:
        """Return True but where nothing is known: a beginning shows the form, too."""
        return cold.diagnosis is not Diagnosis.INFRA

    def gave_up(self, cold: Cold) -> bool:
        """Return whether nobody knew the fix, no length helps, or all groups are used up."""
        uses = cold.given(self.number)
        if nothing_given(cold, self.number) or len(uses) >= self.patience:
            return True
        whole = int(uses[-1].setting.partition("/")[2]) if uses else 1
        return bool(uses) and next_length(uses, whole) is None

    def help(self, cold: Sequence[Cold], *, iteration: int) -> Help | None:
        """Return the groups to begin; a task whose fix nobody knows is given up."""
        practice: list[Practice] = []
        new: list[Attempt] = []
        unknown: list[str] = []
        for one in in_turn(cold, self.number, self.tasks):
            asked = ask(self.teacher, one, self.usable)
            new += asked.new
            whole = self.length(one.task, asked.action) if asked.action else 0
            keep = next_length(one.given(self.number), whole) if whole > 1 else None
            if keep is None:
                unknown.append(one.task.id)
                continue
            practice.append(
                Practice(
                    one.task, Mode.PREFIXED, setting=f"{keep}/{whole}", action=asked.action,
                    keep=keep, attempt_id=asked.attempt_id,
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

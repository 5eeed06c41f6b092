"""Rung 3, hints: where, then what, then how, the smallest that gives a mixed group.

The hint stands in the prompt and never in a loss: reinforcement learns on the student's own
tokens, and a plain group is drawn beside every hinted one (arXiv:2510.19807 for tiers,
arXiv:2601.18779 for the plain half). What is known of the fix comes from the teacher, or
from the reference if that is the teacher, and is booked as such.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from toprope.harness.lines import shown_lines
from toprope.ladder.attempts import Usable, ask, nothing_given
from toprope.ladder.rung import Cold, Help, Practice, Use, in_turn
from toprope.ledger.diagnosis import Diagnosis
from toprope.teacher.protocol import Teacher
from toprope.terms import Attempt, Mode, Task

TIERS = ("where", "what", "how")
DROP_AT = 0.5  # the hinted pass rate from which a smaller hint is tried
_PIECES = re.compile(r"\w+|\s+|[^\w\s]")


def hint_text(task: Task, action: str, tier: str) -> str:
    """Return the hint of a tier for a fix in the form `N|line`; a later tier says more."""
    number, _, line = action.partition("|")
    before = shown_lines(task)[int(number) - 1]
    old, new = _changed(before.strip(), line.strip())
    said = [f"Line {number} is wrong: {before.strip()}"]
    if tier != "where":
        said.append(f"Change `{old}` in it." if old else "Something is missing in it.")
    if tier == "how":
        said.append(f"Write `{new}` there." if new else f"Take `{old}` out.")
    return "\n".join(said)


def next_tier(uses: Sequence[Use]) -> int | None:
    """Return the tier that comes after these uses, or None once the strongest has failed.

    No success asks for more, a pass rate of .5 for less, what lies between is mixed and stays.
    """
    tier = 0
    for use in uses:
        if not use.drawn:
            continue  # lost to failures of ours
        tier = TIERS.index(use.setting)
        if not use.passed:
            tier += 1
        elif use.passed >= DROP_AT * use.drawn:
            tier = max(0, tier - 1)
    return tier if tier < len(TIERS) else None


class Hint:
    """Groups on a hinted prompt, at most `patience` a task and `tasks` tasks an iteration."""

    number = "3"
    name = "hint"
    needs = "a student that keeps to the form, and someone who knows the fix"
    costs = "at most 8 teacher attempts a task, hint tokens, a hinted and a plain group a step"

    def __init__(self, teacher: Teacher, *, tasks: int, patience: int, usable: Usable) -> None:
        self.teacher, self.usable = teacher, usable
        self.tasks, self.patience = tasks, patience

    def suits(self, cold: Cold) -> bool:
        """Return whether the student keeps to the form: a hint does not teach one."""
        return cold.diagnosis in (Diagnosis.NEAR, Diagnosis.FAR)

    def gave_up(self, cold: Cold) -> bool:
        """Return whether nobody knew the fix, the strongest hint failed, or all are used up."""
        uses = cold.given(self.number)
        if nothing_given(cold, self.number) or len(uses) >= self.patience:
            return True
        return next_tier(uses) is None

    def help(self, cold: Sequence[Cold], *, iteration: int) -> Help | None:
        """Return the hinted groups to draw; a task whose fix nobody knows is given up."""
        practice: list[Practice] = []
        new: list[Attempt] = []
        unknown: list[str] = []
        for one in in_turn(cold, self.number, self.tasks):
            asked = ask(self.teacher, one, self.usable)
            new += asked.new
            tier = next_tier(one.given(self.number))
            if not asked.action or tier is None:
                unknown.append(one.task.id)
                continue
            text = hint_text(one.task, asked.action, TIERS[tier])
            practice.append(
                Practice(
                    one.task, Mode.HINTED, setting=TIERS[tier], hint=text,
                    attempt_id=asked.attempt_id,
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


def _changed(old: str, new: str) -> tuple[str, str]:
    """Return what of the old line goes and what comes for it, in whole words."""
    before, after = _PIECES.findall(old), _PIECES.findall(new)
    shorter = min(len(before), len(after))
    head = next((i for i in range(shorter) if before[i] != after[i]), shorter)
    room = shorter - head
    tail = next((i for i in range(room) if before[-1 - i] != after[-1 - i]), room)
    gone, come = before[head : len(before) - tail], after[head : len(after) - tail]
    return "".join(gone), "".join(come)

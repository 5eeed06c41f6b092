"""Rung 6, demonstrations: verified teacher attempts, imitated by cross-entropy, few.

A seed's real yield is what it thaws by transfer, so a small, diverse part of the cold pool
is seeded (one bug a source function first) and the rest is only looked at again. Tasks
marked as never seeded are the control and are passed over.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

from toprope.ladder.attempts import ATTEMPTS
from toprope.ladder.rung import Cold, Demonstration, Help, one_function_first
from toprope.teacher.protocol import BudgetExhausted, Teacher
from toprope.terms import Attempt, Outcome, Task


class Later(NamedTuple):
    """How many demonstrations are left for later rounds, and whom earlier ones asked about.

    `due` says whether the next round may be given now.
    """

    left: int
    asked: Collection[str]
    due: bool


class Demonstrate:
    """Asks the teacher for up to `wanted` demonstrations, `per_task` distinct ones a task.

    That is one round, and over once the teacher was asked, which `asked` tells from what is
    booked; a teacher that had no answer at all, and so left nothing to book, is not asked again
    either. `later` tells what is kept for rounds after it, on tasks that nobody was asked about.
    `usable` says whether a verified action has a form in the student's dialect. Two controls
    need more: `pool` gives other tasks to demonstrate on than the cold ones (None: those), and
    `wanted_outcome` is FAILED where the form of an answer is shown and no right one.
    """

    number = "6"
    name = "demonstration"
    needs = "someone who knows the fix"
    costs = "at most 8 teacher attempts a task, and supervised steps on what was verified"

    def __init__(
        self,
        teacher: Teacher,
        *,
        wanted: int,
        per_task: int = 1,
        asked: Callable[[], bool] = lambda: False,
        later: Callable[[], Later | None] = lambda: None,
        usable: Callable[[Task, str], bool] = lambda task, action: True,
        pool: Callable[[], Sequence[Cold] | None] = lambda: None,
        wanted_outcome: Outcome = Outcome.PASSED,
    ) -> None:
        self.teacher, self.wanted, self.per_task = teacher, wanted, per_task
        self.asked, self.later, self.usable = asked, later, usable
        self.pool, self.wanted_outcome = pool, wanted_outcome
        self._spent = False
        self._silent: set[str] = set()  # of later rounds: tasks of which nothing can be had

    def suits(self, cold: Cold) -> bool:
        """Return True: an answer shows form and fix."""
        return True

    def gave_up(self, cold: Cold) -> bool:
        """Return whether the seeds are given, or cannot be had."""
        if self.waiting([cold]):
            return False
        later = self.later()
        return later is None or not (later.left and _open_to(cold, later.asked))

    def help(self, cold: Sequence[Cold], *, iteration: int) -> Help | None:
        """Return demonstrations for a diverse part of the cold tasks, or None if there is none."""
        if not self.waiting(cold):
            return None
        pool, (wanted, known) = self.pool(), self._round()
        seedable = [c for c in (cold if pool is None else pool) if _open_to(c, known)]
        first = not self.asked()
        found: list[Demonstration] = []
        asked: list[Attempt] = []
        unsolved: list[str] = []
        for task in [c.task for c in one_function_first(seedable)]:
            if len(found) >= wanted:
                break
            got, attempts = self.solve(task)
            asked += attempts
            found += got[: wanted - len(found)]
            if not got:
                unsolved.append(task.id)
            if not attempts and not first:
                self._silent.add(task.id)
        self._spent = first and not found
        if not asked:
            return None
        return Help(
            self.number,
            demonstrations=tuple(found),
            attempts=tuple(asked),
            gave_up=tuple(unsolved),
        )

    def waiting(self, cold: Sequence[Cold]) -> bool:
        """Return whether there are seeds still to give, and cold tasks to give them to."""
        wanted, known = self._round()
        return wanted > 0 and any(_open_to(c, known) for c in cold)

    def _round(self) -> tuple[int, Collection[str]]:
        """Return how many the round that is due may give, and on which tasks it may not."""
        if not self.asked():
            return 0 if self._spent else self.wanted, ()
        later = self.later()
        return (later.left, {*later.asked, *self._silent}) if later and later.due else (0, ())

    def solve(self, task: Task) -> tuple[list[Demonstration], list[Attempt]]:
        """Ask for attempts one at a time until enough distinct ones are verified."""
        found: dict[str, Demonstration] = {}
        asked: list[Attempt] = []
        for start in range(ATTEMPTS):
            try:
                attempts = self.teacher.attempts(task, 1, start=start)
            except BudgetExhausted:
                attempts = []  # an ordinary state: what was asked before it still counts
            if not attempts:
                break
            asked += attempts
            spent = sum(a.prompt_tokens + a.completion_tokens for a in asked)
            for attempt in attempts:
                if attempt.outcome is not self.wanted_outcome or not attempt.action:
                    continue
                if self.usable(task, attempt.action):
                    found.setdefault(
                        attempt.action, Demonstration(task, attempt.action, attempt.id, spent)
                    )
            if len(found) >= self.per_task:
                break
        return list(found.values()), asked


def _open_to(cold: Cold, known: Collection[str]) -> bool:
    return not cold.never_seeded and cold.task.id not in known

"""Builds the rungs that the settings allow, for a climb and for who asks what it would do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from toprope.climb.config import ClimbConfig
from toprope.harness.dialect import DIALECTS
from toprope.harness.encode import answer_length, has_form
from toprope.harness.turns.retell import retold
from toprope.ladder.demonstration import Demonstrate
from toprope.ladder.hint import Hint
from toprope.ladder.ladder import Ladder
from toprope.ladder.logits import Logits
from toprope.ladder.partial_credit import PartialCredit
from toprope.ladder.prefix import Prefix
from toprope.ladder.resample import Resample
from toprope.ladder.retry import Retry
from toprope.ladder.rung import Cold, Rung
from toprope.ladder.takeover import TakeOver
from toprope.teacher.protocol import Teacher
from toprope.teacher.speaking import Speaks
from toprope.terms import Outcome, Task


def build_ladder(
    config: ClimbConfig,
    teacher: Teacher | None,
    tokenizer: Any,
    asked: Callable[[], bool],
    pool: Callable[[], Sequence[Cold] | None] = lambda: None,
    may_read: Callable[[], bool] = lambda: True,
) -> Ladder:
    """Return the ladder of a run; rungs that need a teacher are left out without one.

    `asked` says whether demonstrations were asked for already, `pool` gives the tasks that
    they are of, None for the cold ones. `may_read` says whether a white-box
    teacher's limit leaves anything.
    """
    allowed, settings, seeding = config.ladder.rungs, config.ladder, config.seeding
    form = config.teacher.kind == "form"
    dialect = DIALECTS[config.student.dialect]
    usable = partial(has_form, dialect)
    if config.turns.dialect:
        usable = partial(_has_turns, config.turns.dialect)
    bounds = {"tasks": settings.tasks, "patience": settings.patience}
    rungs: list[Rung] = [Resample(config.climbing.pilots_per_step, seeding.pilot_tasks)]
    if 1 in allowed:
        rungs.append(PartialCredit(**bounds))
    if 2 in allowed:
        rungs.append(Retry(**bounds))
    if teacher is not None and 3 in allowed:
        rungs.append(Hint(teacher, usable=usable, **bounds))
    if teacher is not None and 4 in allowed:
        length = partial(answer_length, tokenizer, dialect)
        rungs.append(Prefix(teacher, usable=usable, length=length, **bounds))
    if teacher is not None and 5 in allowed:
        speaks = isinstance(teacher, Speaks)
        rungs.append(TakeOver(teacher, usable=usable, speaks=speaks, **bounds))
    if teacher is not None and 6 in allowed:
        rungs.append(
            Demonstrate(
                teacher,
                wanted=seeding.demonstrations,
                per_task=seeding.per_task,
                asked=asked,
                usable=usable,
                pool=pool,
                wanted_outcome=Outcome.FAILED if form else Outcome.PASSED,
            )
        )
    if 7 in allowed:
        rungs.append(Logits(within=may_read, **bounds))
    return Ladder(rungs)


def _has_turns(dialect: str, task: Task, action: str) -> bool:
    return retold(dialect, task, action) is not None

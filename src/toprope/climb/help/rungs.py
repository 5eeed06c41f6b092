"""Builds the rungs that the settings allow, for a climb and for who asks what it would do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from toprope.climb.config import ClimbConfig
from toprope.harness.dialect import DIALECTS
from toprope.harness.encode import answer_length, has_form
from toprope.harness.turns.retell import retold
from toprope.ladder.demonstration import Demonstrate, Later
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
    later: Callable[[], Later | None] = lambda: None,
) -> Ladder:
    """Return the ladder of a run; rungs that need a teacher are left out without one.

    `asked` says whether demonstrations were asked for already, `pool` gives the tasks that
    they are of, None for the cold ones. `may_read` says whether a white-box
    teacher's limit leaves anything, `later` what is kept for later rounds of demonstrations.
    """
    allowed, bounds = config.ladder.rungs, _bounds(config)
    rungs: list[Rung] = [Resample(config.climbing.pilots_per_step, config.seeding.pilot_tasks)]
    if 1 in allowed:
        rungs.append(PartialCredit(**bounds))
    if 2 in allowed:
        rungs.append(Retry(**bounds))
    if teacher is not None:
        rungs += _taught(config, teacher, tokenizer, asked, pool, later)
    if 7 in allowed:
        rungs.append(Logits(within=may_read, **bounds))
    return Ladder(rungs)


def _taught(
    config: ClimbConfig,
    teacher: Teacher,
    tokenizer: Any,
    asked: Callable[[], bool],
    pool: Callable[[], Sequence[Cold] | None],
    later: Callable[[], Later | None],
) -> list[Rung]:
    """Return the allowed rungs that ask a teacher for attempts."""
    allowed, seeding, bounds = config.ladder.rungs, config.seeding, _bounds(config)
    form = config.teacher.kind == "form"
    dialect = DIALECTS[config.student.dialect]
    usable = partial(has_form, dialect)
    if config.turns.dialect:
        usable = partial(_has_turns, config.turns.dialect)
    rungs: list[Rung] = []
    if 3 in allowed:
        rungs.append(Hint(teacher, usable=usable, **bounds))
    if 4 in allowed:
        length = partial(answer_length, tokenizer, dialect)
        rungs.append(Prefix(teacher, usable=usable, length=length, **bounds))
    if 5 in allowed:
        speaks = isinstance(teacher, Speaks)
        rungs.append(TakeOver(teacher, usable=usable, speaks=speaks, **bounds))
    if 6 in allowed:
        rungs.append(
            Demonstrate(
                teacher,
                wanted=seeding.demonstrations - seeding.later,
                per_task=seeding.per_task,
                asked=asked,
                later=later,
                usable=usable,
                pool=pool,
                wanted_outcome=Outcome.FAILED if form else Outcome.PASSED,
            )
        )
    return rungs


def _bounds(config: ClimbConfig) -> dict[str, int]:
    return {"tasks": config.ladder.tasks, "patience": config.ladder.patience}


def _has_turns(dialect: str, task: Task, action: str) -> bool:
    return retold(dialect, task, action) is not None

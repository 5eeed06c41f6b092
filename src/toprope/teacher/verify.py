"""Checks a recording: a sample of its rows is judged again, and may be asked again live.

A row that is judged differently is a fault of the recording. A live answer that differs is
not: kernels and batch shapes move floating-point sums, so only the share that agrees is told.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from toprope.grading import Grader
from toprope.teacher.judge import Judged, judge
from toprope.teacher.openai import Endpoint, Sampling
from toprope.teacher.protocol import Express
from toprope.teacher.question import ask
from toprope.teacher.rows import Recording, Row
from toprope.terms import Task


@dataclass(slots=True)
class Checked:
    """What a check found. `differ` names each row that was judged differently, and how."""

    rows: int = 0
    absent: int = 0
    differ: list[str] = field(default_factory=list)
    asked: int = 0
    same_text: int = 0
    same_outcome: int = 0


def verify(
    recording: Recording,
    tasks: Sequence[Task],
    grader: Grader,
    express: Express,
    *,
    sample: int,
    seed: int = 0,
    endpoint: Endpoint | None = None,
) -> Checked:
    """Judge `sample` rows again (0: all of them), and ask them again if an endpoint is given.

    Rows of tasks that are not in `tasks`, or that read differently now, count as `absent`.
    """
    index = {task.id: task for task in tasks}
    checked = Checked()
    for row in _sample(recording.rows, sample, seed):
        task = index.get(row.task_id)
        if task is None or not row.fits(task):
            checked.absent += 1
            continue
        checked.rows += 1
        judged = judge(row.text, task, grader, express)
        if (judged.outcome, judged.action) != (row.outcome, row.action):
            checked.differ.append(_difference(row, judged))
        if endpoint is not None:
            answer = ask(endpoint, row.messages, Sampling.of(row.sampling))
            outcome = judge(answer.text, task, grader, express).outcome
            checked.asked += 1
            checked.same_text += answer.text == row.text
            checked.same_outcome += outcome is row.outcome
    return checked


def _sample(rows: Sequence[Row], sample: int, seed: int) -> Sequence[Row]:
    if not 0 < sample < len(rows):
        return rows
    return random.Random(seed).sample(list(rows), sample)


def _difference(row: Row, judged: Judged) -> str:
    then, now = (row.outcome.value, row.action), (judged.outcome.value, judged.action)
    return f"{row.id}: recorded {then[0]} {then[1]!r}, now {now[0]} {now[1]!r} ({judged.why})"

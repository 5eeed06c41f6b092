"""Has graduation judged and notes it; the criteria are in `ledger/graduation.py`.

A teacher asked only for cold tasks goes quiet by construction, so silence alone proves
nothing: what it solves by itself is asked of it here, where that costs nothing.
"""

from __future__ import annotations

from typing import Any

from toprope.climb.crew import Crew
from toprope.ledger import graduation
from toprope.teacher.recorded import RecordedTeacher


def judge(crew: Crew, iteration: int) -> dict[str, Any]:
    """Note and return the judgement at this iteration, as `ledger.graduation.judge` tells it."""
    known = None
    if isinstance(crew.teacher, RecordedTeacher):
        known = crew.teacher.known(crew.taskset.ordinary)
    judgement = graduation.judge(crew.ledger.db, crew.config.evaluation.window, known)
    crew.ledger.note(iteration, "graduation", judgement)
    return judgement

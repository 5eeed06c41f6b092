"""Judges whether the teacher has become unnecessary, criterion by criterion.

A teacher asked only for cold tasks goes quiet by construction, so silence alone proves
nothing: a criterion that was not measured is None, and one None is enough not to graduate.
"""

from __future__ import annotations

from typing import Any

from toprope.climb.crew import Crew
from toprope.ledger.accounts import teacher_windows
from toprope.ledger.rows import REVIEW
from toprope.ledger.statistics import clopper_pearson_lower

QUIET_WINDOWS = 3


def judge(crew: Crew, iteration: int) -> dict[str, Any]:
    """Note and return the judgement at this iteration: {graduated, criteria}."""
    windows = teacher_windows(crew.ledger.db, crew.config.evaluation.window)
    quiet = windows[-QUIET_WINDOWS:]
    criteria = {
        "teacher_quiet_because_nothing_cold": len(quiet) == QUIET_WINDOWS
        and all(w["share"] == 0 and w["reason"] == "nothing_cold" for w in quiet),
        "not_inferior_to_teacher": None,
        "no_regression": _no_regression(crew),
        "fork": None,
    }
    judgement = {
        "graduated": all(value is True for value in criteria.values()),
        "criteria": criteria,
    }
    crew.ledger.note(iteration, "graduation", judgement)
    return judgement


def _no_regression(crew: Crew) -> bool | None:
    """Return whether the pooled review of mastered tasks has a lower bound above .8."""
    chunks = [d for row in crew.ledger.plain_draws(purposes=[REVIEW]).values() for d in row]
    drawn = sum(chunk.draws for chunk in chunks)
    if not drawn:
        return None
    return clopper_pearson_lower(sum(chunk.successes for chunk in chunks), drawn) > 0.8

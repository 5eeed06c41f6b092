"""Verdicts by key, each given once: what the journal knows is not graded again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from toprope.climb.journal import Journal
from toprope.grading import Grader
from toprope.terms import Outcome, Task, Verdict


def graded(
    grader: Grader, journal: Journal, wanted: Sequence[tuple[str, Task, Mapping[str, str]]]
) -> dict[str, Verdict]:
    """Return a verdict by key for each (key, task, changes); our own failures are not kept."""
    known = journal.journal_get([key for key, _, _ in wanted])
    missing = [item for item in wanted if item[0] not in known]
    fresh = dict(zip((item[0] for item in missing), grader.grade_many(missing), strict=True))
    kept = {key: asdict(v) for key, v in fresh.items() if v.outcome is not Outcome.INFRA}
    journal.journal_put(kept)
    return {**{key: _verdict(value) for key, value in known.items()}, **fresh}


def _verdict(value: dict[str, Any]) -> Verdict:
    return Verdict(
        outcome=Outcome(value["outcome"]),
        reward=value["reward"],
        why=value["why"],
        passed=tuple(value["passed"]),
        failed=tuple(value["failed"]),
        level=value["level"],
    )

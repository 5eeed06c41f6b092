"""What one run of an arm came to, read from its ledger alone."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from toprope.ledger import accounts, admissions, queries
from toprope.ledger.points import tallies
from toprope.ledger.rows import AFTER, AFTER_SEEDING, BEFORE
from toprope.ledger.schema import explained, open_for_reading
from toprope.ledger.store import LEDGER_NAME

Rates = dict[str, dict[str, float]]  # by source function, then by task


@dataclass(frozen=True)
class Point:
    """A dev measurement: tasks' pass rate (share of 1), and teacher tokens spent till then."""

    iteration: int
    rate: float
    teacher_tokens: float


@dataclass(frozen=True)
class Result:
    """One finished run. FLOPs are those of learning, evaluation left out.

    `cold` holds the held-out pass rates at the end of the tasks that the base never passed
    before any help, the primary measure; `seeded` the same after the last seed; `alive` the
    cold training tasks that came to life.
    """

    cold: Rates
    seeded: Rates
    alive: frozenset[str]
    tested_cold: int
    teacher_tokens: int
    student_flops: float
    teacher_flops: float
    points: tuple[Point, ...]

    @property
    def score(self) -> float | None:
        """The mean of `cold` over tasks, or None where none was measured."""
        values = [rate for tasks in self.cold.values() for rate in tasks.values()]
        return sum(values) / len(values) if values else None

    def tokens_to(self, rate: float) -> float | None:
        """Return the teacher tokens spent when dev first stood at `rate`, None if it never did."""
        return next((p.teacher_tokens for p in self.points if p.rate >= rate), None)


def read_result(run: Path) -> Result:
    """Return what a run came to.

    Raises:
        LedgerError: the folder holds no ledger, or one that cannot be read.
    """
    path = run / LEDGER_NAME
    with closing(open_for_reading(path)) as db, explained(path):
        changes = queries.transitions(db)
        student = queries.flops_spent(db)
        total = queries.flops_spent(db, with_teacher=True)
        tokens = _teacher_tokens(db)
        return Result(
            cold=_cold_rates(db, AFTER),
            seeded=_cold_rates(db, AFTER_SEEDING),
            alive=frozenset(accounts.thaws(changes)),
            tested_cold=len(accounts.first_cold(changes)),
            teacher_tokens=tokens,
            student_flops=student,
            teacher_flops=total - student,
            points=tuple(_points(db, tokens)),
        )


def _cold_rates(db: sqlite3.Connection, purpose: str) -> Rates:
    before, after = tallies(db, BEFORE), tallies(db, purpose)
    rates: Rates = {}
    for task in admissions.counted(db):
        seen = before.get(task.task_id)
        if seen is None or not seen.draws or seen.successes:
            continue
        if task.task_id in after and after[task.task_id].draws:
            rates.setdefault(task.cluster, {})[task.task_id] = after[task.task_id].rate
    return rates


def _teacher_tokens(db: sqlite3.Connection) -> int:
    query = "SELECT coalesce(sum(prompt_tokens + completion_tokens), 0) FROM teacher_calls"
    return int(db.execute(query).fetchone()[0])


def _points(db: sqlite3.Connection, tokens: int) -> list[Point]:
    """Dev rates in order; what was spent till then is the teacher's metered share of its total."""
    spent = db.execute(
        "SELECT iteration, flops FROM meters WHERE phase = 'teacher' ORDER BY iteration"
    ).fetchall()
    whole = sum(flops for _, flops in spent)
    found = []
    rates = db.execute(
        "SELECT iteration, value + 0.0 FROM notes WHERE key = 'dev_rate' ORDER BY iteration"
    )
    for iteration, rate in rates:
        till = sum(flops for at, flops in spent if at <= iteration)
        found.append(Point(iteration, rate, tokens * till / whole if whole else float(tokens)))
    return found

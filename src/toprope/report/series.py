"""What the report draws over iterations, read from a ledger: curves, states, heat map.

Reads only; it must not know how anything is drawn.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from toprope.ledger import queries
from toprope.ledger.points import mean_rate, tallies
from toprope.ledger.queries import PLAIN, TAUGHT, VERIFIED
from toprope.ledger.rows import StateChange
from toprope.terms import Split, State


@dataclass(frozen=True, slots=True)
class Point:
    """A measured rate at an iteration; the interval is None where none applies."""

    iteration: int
    rate: float
    low: float | None
    high: float | None
    draws: int


@dataclass(frozen=True, slots=True)
class HeatRow:
    """A task's state over all iterations, and what help it had."""

    task_id: str
    states: tuple[State, ...]
    never_seeded: bool
    seeded: bool


def iterations(db: sqlite3.Connection) -> list[int]:
    """The committed iterations, in order."""
    return [row[0] for row in db.execute("SELECT iteration FROM commits ORDER BY iteration")]


def training_rates(db: sqlite3.Connection) -> list[Point]:
    """The pass rate of the plain training draws of each iteration (the tasks differ)."""
    rows = db.execute(
        f"SELECT iteration, avg({VERIFIED}), count(*) FROM evidence "
        f"WHERE purpose = 'train' AND policy = 'student' AND {PLAIN} "
        "GROUP BY iteration ORDER BY iteration"
    )
    return [Point(iteration, rate, None, None, draws) for iteration, rate, draws in rows]


def dev_rates(db: sqlite3.Connection) -> list[Point]:
    """The dev pass rate wherever it was measured, with its cluster interval."""
    tasks = [task for task in queries.tasks(db) if task.split is Split.DEV]
    rows = db.execute("SELECT DISTINCT purpose FROM evidence WHERE purpose LIKE 'eval:dev:%'")
    found = []
    for purpose in [row[0] for row in rows]:
        drawn = tallies(db, purpose)
        estimate = mean_rate(drawn, tasks)
        if estimate is not None:
            draws = sum(tally.draws for tally in drawn.values())
            iteration = int(purpose.rsplit(":", 1)[1])
            found.append(Point(iteration, estimate.mean, estimate.low, estimate.high, draws))
    return sorted(found, key=lambda point: point.iteration)


def state_counts(db: sqlite3.Connection) -> dict[State, list[int]]:
    """Per state, how many training tasks stood in it after each committed iteration."""
    rows = heat_rows(db, moved_only=False)
    columns = [Counter(column) for column in zip(*(row.states for row in rows), strict=True)]
    return {state: [column[state] for column in columns] for state in State}


def heat_rows(db: sqlite3.Connection, *, moved_only: bool = True) -> list[HeatRow]:
    """Training tasks by state over iterations, like stories together: first to thaw on top."""
    columns = iterations(db)
    changes: dict[str, list[StateChange]] = {}
    for change in queries.transitions(db):
        changes.setdefault(change.task_id, []).append(change)
    seeded = {row[0] for row in db.execute(f"SELECT DISTINCT task_id FROM seeds WHERE {TAUGHT}")}
    rows = [
        HeatRow(
            task.task_id,
            _over(columns, changes.get(task.task_id, [])),
            task.never_seeded,
            task.task_id in seeded,
        )
        for task in queries.tasks(db)
        if task.split is Split.TRAIN and (task.task_id in changes or not moved_only)
    ]
    return sorted(rows, key=_story)


def token_totals(db: sqlite3.Connection) -> Mapping[str, int]:
    """Teacher-derived tokens by kind (fresh, recorded, replayed, reference)."""
    query = f"SELECT kind, sum(tokens) FROM seeds WHERE {TAUGHT} GROUP BY kind ORDER BY kind"
    return dict(db.execute(query).fetchall())


def _over(columns: list[int], changes: list[StateChange]) -> tuple[State, ...]:
    found, state, at = [], State.UNSEEN, 0
    for iteration in columns:
        while at < len(changes) and changes[at].iteration <= iteration:
            state, at = changes[at].after, at + 1
        found.append(state)
    return tuple(found)


def _story(row: HeatRow) -> tuple[int, int, int, str]:
    """Ever cold first, by when the state last improved; within that by when it was mastered."""
    ever_cold = State.COLD in row.states
    live = _first(row, State.LIVE, after=State.COLD if ever_cold else None)
    return (not ever_cold, live, _first(row, State.MASTERED, after=None), row.task_id)


def _first(row: HeatRow, state: State, *, after: State | None) -> int:
    start = row.states.index(after) if after is not None else 0
    later = (i for i in range(start, len(row.states)) if row.states[i] is state)
    return next(later, len(row.states))

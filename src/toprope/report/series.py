"""What the report draws over iterations, read from a ledger: curves, states, heat map.

Reads only; it must not know how anything is drawn.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from toprope.ledger import admissions, queries
from toprope.ledger.points import mean_rate, tallies
from toprope.ledger.queries import PLAIN, TAUGHT, VERIFIED
from toprope.ledger.rows import StateChange, dev_purpose
from toprope.ledger.standings import place_of
from toprope.report.thin import MOST_DEV, MOST_ITERATIONS, thinned
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
    """The pass rate of the plain training draws of each iteration (the tasks differ).

    Of many iterations, of as many in a row as `thin.MOST_ITERATIONS` points leave to each.
    """
    rows = db.execute(
        f"SELECT iteration, sum({VERIFIED}), count(*) FROM evidence "
        f"WHERE purpose = 'train' AND policy = 'student' AND {PLAIN} "
        "GROUP BY iteration ORDER BY iteration"
    ).fetchall()
    each = max(1, -(-len(rows) // MOST_ITERATIONS))
    parts = [rows[at : at + each] for at in range(0, len(rows), each)]
    counts = [(part[-1][0], sum(r[1] for r in part), sum(r[2] for r in part)) for part in parts]
    return [Point(at, passed / draws, None, None, draws) for at, passed, draws in counts]


def dev_rates(db: sqlite3.Connection) -> list[Point]:
    """The dev pass rate where it was measured, at most `thin.MOST_DEV` times, with intervals."""
    tasks = admissions.counted(db, Split.DEV)
    prefix = dev_purpose(0)[:-1]
    rows = db.execute(
        "SELECT DISTINCT purpose FROM evidence WHERE purpose >= ? AND purpose < ?",
        [prefix, prefix + "\U0010ffff"],
    )
    found = []
    for at in thinned(sorted(int(row[0].removeprefix(prefix)) for row in rows), MOST_DEV):
        drawn = tallies(db, dev_purpose(at))
        estimate = mean_rate(drawn, tasks)
        if estimate is not None:
            draws = sum(tally.draws for tally in drawn.values())
            found.append(Point(at, estimate.mean, estimate.low, estimate.high, draws))
    return found


def state_counts(
    db: sqlite3.Connection, columns: Sequence[int] | None = None
) -> dict[State, list[int]]:
    """Per state, how many training tasks stood in it after each committed iteration.

    `columns` narrows to some of the iterations.
    """
    now = Counter({State.UNSEEN: sum(queries.counts(db).values())})
    found: dict[State, list[int]] = {state: [] for state in State}
    changes, at = queries.transitions(db), 0
    for iteration in iterations(db) if columns is None else columns:
        while at < len(changes) and changes[at].iteration <= iteration:
            now[changes[at].before] -= 1
            now[changes[at].after] += 1
            at += 1
        for state in State:
            found[state].append(now[state])
    return found


def moved(db: sqlite3.Connection) -> list[str]:
    """The training tasks whose state ever changed, in the order of their places by hash."""
    query = "SELECT DISTINCT task_id FROM transitions JOIN standings USING (task_id)"
    return sorted((row[0] for row in db.execute(query)), key=place_of)


def heat_rows(
    db: sqlite3.Connection,
    task_ids: Iterable[str] | None = None,
    columns: Sequence[int] | None = None,
) -> list[HeatRow]:
    """Training tasks by state over iterations, like stories together: first to thaw on top.

    All whose state changed, over all iterations, or narrowed to some of either.
    """
    columns = iterations(db) if columns is None else columns
    ids = moved(db) if task_ids is None else task_ids
    changes = {task_id: queries.transitions(db, task_id) for task_id in ids}
    seeded = {row[0] for row in db.execute(f"SELECT DISTINCT task_id FROM seeds WHERE {TAUGHT}")}
    rows = [
        HeatRow(
            task_id,
            _over(columns, told),
            queries.task(db, task_id).never_seeded,
            task_id in seeded,
        )
        for task_id, told in changes.items()
    ]
    return sorted(rows, key=_story)


def token_totals(db: sqlite3.Connection) -> Mapping[str, int]:
    """Teacher-derived tokens by kind (fresh, recorded, replayed, reference)."""
    query = f"SELECT kind, sum(tokens) FROM seeds WHERE {TAUGHT} GROUP BY kind ORDER BY kind"
    return dict(db.execute(query).fetchall())


def _over(columns: Sequence[int], changes: list[StateChange]) -> tuple[State, ...]:
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

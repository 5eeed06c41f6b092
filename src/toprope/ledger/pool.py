"""What joined a run's pool after it had begun, and how many tasks of the pool still teach.

Reads through an open connection. It must not know which tasks are held back, or why.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from typing import Any, NamedTuple

from toprope.ledger import queries
from toprope.terms import State

GREW = "pool_grew"  # the note of an iteration in which held-back tasks joined the pool
HELD_BACK = "held_back"  # the fact of how many training tasks waited outside it at first
OUT_OF_REACH = (State.COLD, State.PARKED)


class InPool(NamedTuple):
    """How many of the pool's tasks still teach, of how many that are not out of reach.

    `able` are the untried, live and mastered ones. Of these the untried teach, and the live
    ones but those solved whole the last time, which have no gradient to give.
    """

    teaching: int
    able: int
    cold: int


def in_pool(db: sqlite3.Connection) -> InPool:
    """Count the pool as it stands; tasks that are set aside or held back are not in it."""
    rows = db.execute(
        "SELECT state, solved, count(*) FROM standings INDEXED BY standings_waiting "
        "WHERE place IS NOT NULL GROUP BY state, solved"
    )
    found = {(State(state), bool(solved)): n for state, solved, n in rows}

    def count(*states: State) -> int:
        return sum(n for (state, _), n in found.items() if state in states)

    teaching = count(State.UNSEEN) + found.get((State.LIVE, False), 0)
    return InPool(teaching, count(State.UNSEEN, State.LIVE, State.MASTERED), count(State.COLD))


def holds(db: sqlite3.Connection, task_id: str) -> bool:
    """Return whether a training task is in the pool: neither set aside nor held back."""
    query = "SELECT 1 FROM standings WHERE task_id = ? AND place IS NOT NULL"
    return db.execute(query, [task_id]).fetchone() is not None


def joined(db: sqlite3.Connection, after: int = -1) -> dict[str, int]:
    """Return the tasks that joined the pool after an iteration, with theirs."""
    grown = queries.notes(db, GREW)
    return {t: iteration for iteration, note in grown if iteration > after for t in note["tasks"]}


def functions_out_of_reach(db: sqlite3.Connection) -> set[str]:
    """Return the source functions of which a task is cold or parked now."""
    marks = ",".join("?" * len(OUT_OF_REACH))
    rows = db.execute(
        "SELECT DISTINCT cluster FROM standings JOIN tasks USING (task_id) "
        f"WHERE state IN ({marks})",
        OUT_OF_REACH,
    )
    return {cluster for (cluster,) in rows}


def control(db: sqlite3.Connection) -> tuple[int, int]:
    """Return how many tasks cold tests found cold so far, and how many of them are never seeded."""
    row = db.execute(
        "SELECT count(*), coalesce(sum(never_seeded), 0) FROM tasks WHERE tested = 1 AND task_id "
        "IN (SELECT task_id FROM transitions WHERE before = ? AND after = ?)",
        [State.UNSEEN, State.COLD],
    ).fetchone()
    return int(row[0]), int(row[1])


def grown(db: sqlite3.Connection, held_back: int | None) -> dict[str, Any] | None:
    """The summary's section on a pool that may grow; None where nothing was held back.

    Each growth says what its tasks were found to be at first; `undecided` are those that
    failures of ours left without a proof or a whole cold test.
    """
    if not held_back:
        return None
    growths = [_growth(db, iteration, note) for iteration, note in queries.notes(db, GREW)]
    count = sum(growth["tasks"] for growth in growths)
    return {"held_back": held_back, "grown": count, "left": held_back - count, "growths": growths}


def _growth(db: sqlite3.Connection, iteration: int, note: dict[str, Any]) -> dict[str, Any]:
    firsts = Counter(
        next((str(c.after) for c in queries.transitions(db, task_id)), "undecided")
        for task_id in note["tasks"]
    )
    kinds = (State.COLD, State.LIVE, State.BROKEN, "undecided")
    return {
        "iteration": iteration,
        "why": note["why"],
        "tasks": len(note["tasks"]),
        **{str(kind): firsts[str(kind)] for kind in kinds},
        "never_seeded": sum(queries.task(db, t).never_seeded for t in note["tasks"]),
    }

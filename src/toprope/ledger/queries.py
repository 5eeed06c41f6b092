"""Reads of a ledger that the loop, the summary and the report share.

Functions over an open connection; none of them writes. Only student, plain and not
`infra` evidence is ability; a success that a second grading refuted is none.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import fields
from difflib import get_close_matches
from typing import Any

from toprope.ledger.rows import (
    FORM,
    SELF,
    STUDENT,
    TRAINING_SIDE,
    Commit,
    Evidence,
    StateChange,
    TaskRow,
)
from toprope.ledger.schema import LedgerError
from toprope.ledger.states import Draws
from toprope.terms import Mode, Outcome, Split, State, Tier

VERIFIED = "(outcome = 'passed' AND coalesce(reverified, 1) = 1)"
EVIDENCE_COLUMNS = [field.name for field in fields(Evidence)]
TAUGHT = f"kind NOT IN ('{SELF}', '{FORM}')"  # seeds that came from a teacher or a reference
PLAIN = "mode = 'plain' AND outcome != 'infra'"


def tasks(db: sqlite3.Connection, split: Split | None = None) -> list[TaskRow]:
    """Every registered task, or those of a split, in the taskset's order."""
    where, given = ("WHERE split = ?", [split]) if split is not None else ("", [])
    rows = db.execute(f"SELECT * FROM tasks {where} ORDER BY split, ordinal, task_id", given)
    return [_task(row) for row in rows]


def met(db: sqlite3.Connection) -> list[TaskRow]:
    """The training tasks that were ever drawn or moved, in the taskset's order."""
    states = ", ".join(f"'{state}'" for state in State if state is not State.UNSEEN)
    rows = db.execute(
        "SELECT * FROM tasks WHERE task_id IN ("
        f"SELECT task_id FROM standings WHERE state IN ({states}) UNION "
        f"SELECT task_id FROM standings WHERE state = '{State.UNSEEN}' AND solved IN (0, 1) "
        "AND looked >= 0) ORDER BY ordinal, task_id"
    )
    return [_task(row) for row in rows]


def split_sizes(db: sqlite3.Connection) -> dict[Split, int]:
    """How many tasks each split has; every split is a key."""
    found = dict(db.execute("SELECT split, count(*) FROM tasks GROUP BY split").fetchall())
    return {split: found.get(split, 0) for split in Split}


def task(db: sqlite3.Connection, task_id: str) -> TaskRow:
    """One registered task; raises LedgerError with the nearest names if there is none."""
    rows = db.execute("SELECT * FROM tasks WHERE task_id = ?", [task_id])
    for row in rows:
        return _task(row)
    known = [row[0] for row in db.execute("SELECT task_id FROM tasks ORDER BY split, ordinal")]
    near = get_close_matches(task_id, known, n=3, cutoff=0.5)
    hint = f"; did you mean {', '.join(near)}?" if near else ""
    raise LedgerError(f"this run has no task {task_id!r}{hint}")


def states(db: sqlite3.Connection, task_ids: Iterable[str] | None = None) -> dict[str, State]:
    """The state of every training task, or of those named: `unseen` where nothing moved it."""
    if task_ids is None:
        rows = db.execute(
            "SELECT task_id, state FROM tasks JOIN standings USING (task_id) "
            "ORDER BY ordinal, task_id"
        ).fetchall()
    else:
        query = "SELECT task_id, state FROM standings WHERE task_id = ?"
        rows = [row for task_id in task_ids for row in db.execute(query, [task_id])]
    return {task_id: State(state) for task_id, state in rows}


def counts(db: sqlite3.Connection) -> dict[State, int]:
    """How many training tasks stand in each state; every state is a key."""
    found = dict(db.execute("SELECT state, tasks FROM state_counts").fetchall())
    return {state: found.get(state, 0) for state in State}


def transitions(db: sqlite3.Connection, task_id: str | None = None) -> list[StateChange]:
    """State changes in order, of one task or of all."""
    where, given = ("WHERE task_id = ?", [task_id]) if task_id is not None else ("", [])
    rows = db.execute(f"SELECT * FROM transitions {where} ORDER BY iteration, seq", given)
    return [
        StateChange(iteration, seq, task, State(before), State(after), reason)
        for iteration, seq, task, before, after, reason in rows
    ]


def evidence(
    db: sqlite3.Connection,
    *,
    task_id: str | None = None,
    purposes: Sequence[str] | None = None,
    policy: str | None = None,
) -> list[Evidence]:
    """Evidence rows in the order drawn, `infra` included, narrowed by what is given."""
    conditions, given = ["1"], list[Any]()
    if task_id is not None:
        conditions.append("task_id = ?")
        given.append(task_id)
    if purposes is not None:
        conditions.append(f"purpose IN ({','.join('?' * len(purposes))})")
        given.extend(purposes)
    if policy is not None:
        conditions.append("policy = ?")
        given.append(policy)
    rows = db.execute(
        f"SELECT * FROM evidence WHERE {' AND '.join(conditions)} "
        "ORDER BY iteration, purpose, task_id, draw, episode_id",
        given,
    )
    return [_evidence(row) for row in rows]


def plain_draws(
    db: sqlite3.Connection,
    *,
    purposes: Sequence[str] = TRAINING_SIDE,
    since: int | None = None,
    policy: str = STUDENT,
    task_ids: Iterable[str] | None = None,
) -> dict[str, list[Draws]]:
    """Per task, its plain draws as chunks in the order drawn, what the state machine reads.

    A chunk is what was drawn in one iteration for one purpose at one version. `since`
    leaves out what was drawn up to and including that iteration; `task_ids` narrows to some
    tasks, and then nothing of the others is read.
    """
    marks = ",".join("?" * len(purposes))
    query = (
        f"SELECT task_id, version, sum({VERIFIED}), count(*) "
        "FROM evidence INDEXED BY evidence_by_task "
        f"WHERE policy = ? AND {PLAIN} AND purpose IN ({marks}) AND iteration > ? {{}}"
        "GROUP BY task_id, iteration, version, purpose "
        "ORDER BY task_id, iteration, version, purpose"
    )
    given = [policy, *purposes, -(2**62) if since is None else since]
    if task_ids is None:
        rows = db.execute(query.format(""), given).fetchall()
    else:
        one = query.format("AND task_id = ? ")
        rows = [row for task_id in task_ids for row in db.execute(one, [*given, task_id])]
    found: dict[str, list[Draws]] = {}
    for task_id, version, successes, draws in rows:
        found.setdefault(task_id, []).append(Draws(version, successes, draws))
    return found


def notes(db: sqlite3.Connection, key: str) -> list[tuple[int, Any]]:
    """Every (iteration, value) noted under a key, oldest first."""
    rows = db.execute("SELECT iteration, value FROM notes WHERE key = ? ORDER BY iteration", [key])
    return [(iteration, json.loads(value)) for iteration, value in rows]


def last_note(db: sqlite3.Connection, key: str) -> Any:
    """The newest value noted under a key, or None."""
    query = "SELECT value FROM notes WHERE key = ? ORDER BY iteration DESC LIMIT 1"
    row = db.execute(query, [key]).fetchone()
    return json.loads(row[0]) if row else None


def keyed(db: sqlite3.Connection, table: str) -> dict[str, Any]:
    """All of `meta` or of `facts`, decoded."""
    rows = db.execute(f"SELECT key, value FROM {table} ORDER BY key")
    return {key: json.loads(value) for key, value in rows}


def last_commit(db: sqlite3.Connection) -> Commit | None:
    """The newest iteration that is whole."""
    row = db.execute("SELECT * FROM commits ORDER BY iteration DESC LIMIT 1").fetchone()
    return Commit(*row) if row else None


def flops_spent(db: sqlite3.Connection, *, with_teacher: bool = False) -> float:
    """Return the committed FLOPs that went into learning: the student's, without evaluation.

    `with_teacher` adds what the teacher's attempts cost, recorded ones as if asked live.
    """
    query = (
        "SELECT coalesce(sum(flops), 0) FROM meters "
        "WHERE phase <> 'eval' AND (? OR phase <> 'teacher')"
    )
    row = db.execute(query, [with_teacher]).fetchone()
    return float(row[0])


def _task(row: tuple[Any, ...]) -> TaskRow:
    task_id, split, tier, cluster, ordinal, never_seeded, tested, mutator_p = row
    return TaskRow(
        task_id=task_id,
        split=Split(split),
        tier=Tier(tier) if tier else None,
        cluster=cluster,
        ordinal=ordinal,
        never_seeded=bool(never_seeded),
        tested=bool(tested),
        mutator_p=mutator_p,
    )


def _evidence(row: tuple[Any, ...]) -> Evidence:
    values = dict(zip(EVIDENCE_COLUMNS, row, strict=True))
    values["mode"], values["outcome"] = Mode(values["mode"]), Outcome(values["outcome"])
    if values["reverified"] is not None:
        values["reverified"] = bool(values["reverified"])
    return Evidence(**values)

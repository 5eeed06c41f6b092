"""Which evaluated tasks a run proved, read from its notes: what is broken counts at no point.

Functions over an open connection; none of them writes.
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass, field
from typing import Any

from toprope.ledger import queries
from toprope.ledger.rows import ADMISSION, TaskRow
from toprope.terms import Split

EVALUATED = (Split.DEV, Split.HELDOUT)


@dataclass(frozen=True, slots=True)
class Admitted:
    """What is known so far, by task id: the newest word on each. `why` is told of the rest."""

    proven: set[str] = field(default_factory=set)
    broken: dict[str, str] = field(default_factory=dict)
    unproven: dict[str, str] = field(default_factory=dict)


def admitted(db: sqlite3.Connection) -> Admitted:
    """What the notes of all iterations say; a task that was proven late is unproven no more."""
    rows = db.execute(
        "SELECT value FROM notes WHERE key > ? AND key < ? ORDER BY iteration",
        [f"{ADMISSION}:", f"{ADMISSION};"],
    )
    found = Admitted()
    for (value,) in rows:
        note = json.loads(value)
        found.proven.update(note["proven"])
        found.broken.update(note["broken"])
        found.unproven.update(note["unproven"])
    for task_id in (*found.proven, *found.broken):
        found.unproven.pop(task_id, None)
    return found


def counted(db: sqlite3.Connection, split: Split | None = None) -> list[TaskRow]:
    """The registered tasks of a split (None: of all) that pass rates are taken over.

    Without the evaluated tasks that were found broken: at no point do they count, also where
    they had been drawn before it was found.
    """
    broken = admitted(db).broken
    return [task for task in queries.tasks(db, split) if task.task_id not in broken]


def summarised(db: sqlite3.Connection) -> dict[str, Any] | None:
    """How many dev and held-out tasks were proven, and why others were not; None: nobody asked."""
    found = admitted(db)
    if not (found.proven or found.broken or found.unproven):
        return None
    known = {task.task_id for split in EVALUATED for task in queries.tasks(db, split)}
    return {
        "proven": len(found.proven & known),
        "broken": {task: why for task, why in found.broken.items() if task in known},
        "unproven": {task: why for task, why in found.unproven.items() if task in known},
    }


def broken_baits(db: sqlite3.Connection) -> int | None:
    """How many impossible tasks were not drawn because they are solvable or worse."""
    found = admitted(db)
    known = {task.task_id for task in queries.tasks(db)}
    baits = {*found.proven, *found.broken, *found.unproven} - known
    return sum(task in found.broken for task in baits) if baits else None

"""`summary.json`, schema 1: a contract that is recomputable from `ledger.sqlite` alone.

It only arranges; counting is in `accounts.py`, held-out pass rates in `points.py`.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from toprope.ledger import accounts, admissions, forgetting, points, pool, queries
from toprope.ledger.graduation import with_fork
from toprope.ledger.rows import AFTER, AFTER_SEEDING, BEFORE, TaskRow
from toprope.ledger.schema import explained, open_for_reading
from toprope.ledger.store import LEDGER_NAME
from toprope.terms import Split, State

SCHEMA = 1
IDENTITY = (
    "run", "status", "stop_reason", "versions", "device", "walls", "seed", "student", "coin",
)  # fmt: skip
JUDGED = ("reasons", "numbers", "past_teacher")


def recompute(path: Path | str) -> dict[str, Any]:
    """The summary of a run folder or its `ledger.sqlite`, from that file and nothing else.

    Raises LedgerError if it is missing, no ledger, or of another schema version.
    """
    path = Path(path)
    path = path / LEDGER_NAME if path.is_dir() else path
    db = open_for_reading(path)
    try:
        with explained(path):
            return summarise(db)
    finally:
        db.close()


def summarise(db: sqlite3.Connection) -> dict[str, Any]:
    """Build the summary through an open connection (`ledger.db`).

    What a run is and how it ended comes from `record_facts` and `record_meta`. A value
    that was not measured is None, never 0.
    """
    train, splits = queries.met(db), queries.split_sizes(db)
    states = queries.counts(db)
    known = {**queries.keyed(db, "meta"), **queries.keyed(db, "facts")}
    window = known.get("window", accounts.DEFAULT_WINDOW)
    return {
        "schema": SCHEMA,
        **{key: known.get(key) for key in IDENTITY},
        "taskset": known.get("taskset"),
        "tasks": {
            **{split.value: splits[split] for split in Split},
            "broken": states[State.BROKEN],
            "evaluated": admissions.summarised(db),
        },
        "cold_start": accounts.cold_start(db, train, known.get("cold_draws")),
        "states": {state.value: n for state, n in states.items()},
        "pool": pool.grown(db, known.get(pool.HELD_BACK)),
        "thawed": accounts.thawed(db, train),
        "heldout": _heldout(db, admissions.counted(db, Split.HELDOUT)),
        "teacher": accounts.teacher(
            db, known.get("teacher"), window, priced=known.get("teacher_priced", True)
        ),
        "forgetting": forgetting.measured(db),
        "graduation": _graduation(db),
        "compute": accounts.compute(db, known.get("peak_rss_gb")),
        "integrity": accounts.integrity(db),
    }


def _heldout(db: sqlite3.Connection, tasks: list[TaskRow]) -> dict[str, Any]:
    before, seeded, after = (
        points.tallies(db, purpose) for purpose in (BEFORE, AFTER_SEEDING, AFTER)
    )
    k = points.common_k([before, seeded, after])
    drawn = before.keys() | seeded.keys() | after.keys()
    return {
        "before": points.by_tier(before, tasks, k),
        "after_seeding": points.by_tier(seeded, tasks, k),
        "after": points.by_tier(after, tasks, k),
        "mutator": points.mutator([t for t in tasks if t.task_id in drawn or not drawn]),
        "seed_gain": points.gains(before, seeded, tasks),
        "rl_gain": points.gains(seeded, after, tasks),
    }


def _graduation(db: sqlite3.Connection) -> dict[str, Any]:
    """The newest judgement. Never judged is not graduated, with no criteria to show."""
    judged = queries.notes(db, "graduation")
    if not judged:
        return {"graduated": False, "iteration": None, **dict.fromkeys(("criteria", *JUDGED))}
    iteration, judgement = judged[-1]
    value = with_fork(judgement, db)
    graduated = bool(value["graduated"])
    return {
        "graduated": graduated,
        "iteration": iteration if graduated else None,
        **{key: value.get(key) for key in ("criteria", *JUDGED)},
    }

"""Rounds of demonstrations: what is kept for later ones, and when the next may be given.

Read from the ledger's notes and seeds, which go with their iteration: a run that goes on after
a kill gives the same rounds.
"""

from __future__ import annotations

import sqlite3

from toprope.climb.config import ClimbConfig
from toprope.ladder.demonstration import Later
from toprope.ladder.ladder import DEMONSTRATION
from toprope.ledger import queries

ROUND = "round"  # the note of which tasks a round asked about, where later ones are wanted


def later_round(db: sqlite3.Connection, config: ClimbConfig) -> Later | None:
    """Return what is left for later rounds; None where there are none, or before the first."""
    rounds = queries.notes(db, ROUND) if config.seeding.later else []
    last = queries.last_commit(db)
    if not rounds or last is None:
        return None
    query = "SELECT count(*) FROM seeds WHERE rung = ?"
    (given,) = db.execute(query, [DEMONSTRATION]).fetchone()
    return Later(
        left=max(0, config.seeding.demonstrations - given),
        asked=frozenset(task_id for _, asked in rounds for task_id in asked),
        due=last.iteration + 1 >= rounds[-1][0] + config.seeding.later_after,
    )

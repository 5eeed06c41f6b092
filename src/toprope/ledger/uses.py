"""Reads of what the rungs gave, and of the plain draws on both sides of it.

Functions over an open connection; none of them writes.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from toprope.ledger import queries
from toprope.ledger.rows import RungUse
from toprope.ledger.states import Draws


def rung_uses(db: sqlite3.Connection, task_id: str | None = None) -> list[RungUse]:
    """Return the uses of rungs in the order given, of one task or of all."""
    where, given = ("WHERE task_id = ?", [task_id]) if task_id is not None else ("", [])
    rows = db.execute(f"SELECT * FROM rung_uses {where} ORDER BY iteration, task_id, rung", given)
    return [RungUse(*row) for row in rows]


def looks_after(db: sqlite3.Connection, uses: Sequence[RungUse]) -> list[Draws | None]:
    """Return for each use the plain draws at the first later version that has any, or None.

    They are read from the evidence, not stored with the use: so they go with the iteration
    that drew them when a run is resumed before it.
    """
    drawn = queries.plain_draws(db)
    return [_first_after(drawn.get(use.task_id, []), use.version) for use in uses]


def _first_after(chunks: Sequence[Draws], version: int) -> Draws | None:
    later = [chunk for chunk in chunks if chunk.version > version]
    if not later:
        return None
    first = min(chunk.version for chunk in later)
    same = [chunk for chunk in later if chunk.version == first]
    return Draws(first, sum(c.successes for c in same), sum(c.draws for c in same))

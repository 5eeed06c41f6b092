"""One hash of everything that two equal runs share.

Leaves out wall-clock (`seconds`, as a table and as a column), `facts` (device, memory,
status) and the journal, which holds answers and decides nothing by itself.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3

DIGESTED = {
    "meta": "key",
    "tasks": "task_id",
    "evidence": "episode_id",
    "transitions": "iteration, seq",
    "teacher_calls": "call_id",
    "seeds": "iteration, seq",
    "rung_uses": "iteration, task_id, rung",
    "meters": "iteration, phase",
    "notes": "iteration, key",
    "commits": "iteration",
}


def digest(db: sqlite3.Connection) -> str:
    """SHA-256 over a canonical dump: tables in a fixed order, rows in the order of their key."""
    sha = hashlib.sha256()
    for table, order in DIGESTED.items():
        sha.update(f"{table}\n".encode())
        columns = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
        told = ", ".join(name for name in columns if name != "seconds")
        for row in db.execute(f"SELECT {told} FROM {table} ORDER BY {order}"):
            sha.update(json.dumps(row).encode() + b"\n")
    return sha.hexdigest()

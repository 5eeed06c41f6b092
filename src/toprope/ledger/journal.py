"""The journal: answers that cost something, durable the moment they arrive.

Grades and teacher answers are kept by id in `journal.sqlite` beside the ledger, outside
its transactions: a kill loses none, a rollback removes none, a resumed run reuses them.
It must not know what an iteration is.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any

from toprope.ledger.rows import TeacherCall
from toprope.ledger.schema import JOURNAL_TABLES, explained, open_database

_CHUNK = 500
_LAST = "\U0010ffff"  # no character sorts after it


class Journal:
    """Key to JSON value, and the teacher calls made; safe to use from several threads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._db = open_database(path, JOURNAL_TABLES, create=True, durable=False)
        self._lock = threading.Lock()
        self._new: list[tuple[Any, ...]] = []

    def get(self, keys: Iterable[str]) -> dict[str, Any]:
        """The answers that are known among `keys`."""
        wanted, found = list(keys), {}
        with self._lock, explained(self.path):
            for start in range(0, len(wanted), _CHUNK):
                chunk = wanted[start : start + _CHUNK]
                marks = ",".join("?" * len(chunk))
                rows = self._db.execute(
                    f"SELECT key, value FROM answers WHERE key IN ({marks})", chunk
                )
                found.update({key: json.loads(value) for key, value in rows})
        return found

    def under(self, prefix: str) -> dict[str, Any]:
        """Every answer whose key begins with `prefix`, by key, in the order of keys."""
        query = "SELECT key, value FROM answers WHERE key >= ? AND key < ? ORDER BY key"
        with self._lock, explained(self.path):
            rows = self._db.execute(query, [prefix, prefix + _LAST]).fetchall()
        return {key: json.loads(value) for key, value in rows}

    def put(self, answers: Mapping[str, Any]) -> None:
        """Keep answers, all or none; the first answer to a key stays."""
        rows = [(key, json.dumps(value, sort_keys=True)) for key, value in answers.items()]
        self._write("INSERT OR IGNORE INTO answers VALUES (?, ?)", rows)

    def add_calls(self, calls: Iterable[TeacherCall]) -> None:
        """Keep teacher calls; a call id that is known is not counted twice."""
        marks, rows = ",".join("?" * 8), [astuple(c) for c in calls]
        self._write(f"INSERT OR IGNORE INTO calls VALUES ({marks})", rows)
        with self._lock:
            self._new += rows

    def new_calls(self) -> list[tuple[Any, ...]]:
        """The calls added since this journal was opened that `forget_new` has not been given."""
        with self._lock:
            return list(self._new)

    def forget_new(self, taken: Sequence[tuple[Any, ...]]) -> None:
        """The oldest of the new calls, `taken`, are in the ledger now."""
        with self._lock:
            del self._new[: len(taken)]

    def calls(self) -> list[tuple[Any, ...]]:
        """Every teacher call as a row of the ledger's `teacher_calls`."""
        with self._lock, explained(self.path):
            return self._db.execute("SELECT * FROM calls ORDER BY call_id").fetchall()

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def _write(self, statement: str, rows: list[tuple[Any, ...]]) -> None:
        if not rows:
            return
        with self._lock, explained(self.path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                self._db.executemany(statement, rows)
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

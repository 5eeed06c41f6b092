"""Attempts that were paid for, kept across runs and students: no run pays for one twice.

One SQLite file under the cache folder, keyed by content (`question.cache_key`), shared by runs
at the same time. It is a convenience and never a reason to stop: what cannot be read is named,
set aside, and done without. It must not know who asks, or grade anything.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
Say = Callable[[str], None]
VERSION = 1
_BUSY_S = 30.0
_POLL_S = 0.05
_TABLE = """
CREATE TABLE attempts (
  key TEXT PRIMARY KEY, task_hash TEXT NOT NULL, task_id TEXT NOT NULL, split TEXT NOT NULL,
  source TEXT NOT NULL, teacher TEXT NOT NULL, place TEXT NOT NULL, number INTEGER NOT NULL,
  answer TEXT NOT NULL, prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL,
  cost_usd REAL, asked_at TEXT NOT NULL, outcome TEXT, why TEXT, reused INTEGER NOT NULL
) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Cached:
    """One attempt. `answer` and `source` are JSON; the fields are the table's columns.

    `cost_usd` is None where no price was known, `outcome` None until it was judged. `split` is
    the most guarded one that any run met it in.
    """

    key: str
    task_hash: str
    task_id: str
    split: str
    source: str
    teacher: str
    place: str
    number: int
    answer: str
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float | None
    asked_at: str
    outcome: str | None = None
    why: str | None = None
    reused: int = 0


_COLUMNS = [field.name for field in fields(Cached)]
_GUARDED = "CASE WHEN 'heldout' IN (split, :split) THEN 'heldout' \
WHEN 'dev' IN (split, :split) THEN 'dev' ELSE split END"


def default_path() -> Path:
    """The file of this user: `$TOPROPE_CACHE/teacher/attempts.sqlite`, else in `~/.cache`."""
    root = os.environ.get("TOPROPE_CACHE") or "~/.cache/toprope"
    return Path(root).expanduser() / "teacher" / "attempts.sqlite"


class AttemptCache:
    """The cached attempts; safe to use from several threads and by several processes."""

    def __init__(self, path: Path | None = None, say: Say = lambda text: None) -> None:
        self.path = path or default_path()
        self._say = say
        self._lock = threading.Lock()
        self._db: sqlite3.Connection | None = None
        self._off = False

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._db is not None:
                self._db.close()
                self._db = None

    def get(self, key: str) -> Cached | None:
        """The attempt under a key, or None."""
        rows = self._try(lambda db: _select(db, "WHERE key = ?", [key]))
        return rows[0] if rows else None

    def all(self) -> list[Cached]:
        """Every attempt, by teacher, task and number."""
        order = "ORDER BY teacher, task_id, number, key"
        return self._try(lambda db: _select(db, order, [])) or []

    def put(self, attempt: Cached) -> None:
        """Keep an attempt, durable when this returns; the first one under a key stays."""
        marks = ",".join("?" * len(_COLUMNS))
        statement = f"INSERT OR IGNORE INTO attempts VALUES ({marks})"
        self._try(lambda db: _write(db, statement, astuple(attempt)))

    def judged(self, key: str, outcome: str, why: str) -> None:
        """Keep the newest verdict on an attempt."""
        statement = "UPDATE attempts SET outcome = ?, why = ? WHERE key = ?"
        self._try(lambda db: _write(db, statement, (outcome, why, key)))

    def reuse(self, key: str, split: str) -> None:
        """Count that a run was spared this attempt, and the split it met the task in."""
        statement = f"UPDATE attempts SET reused = reused + 1, split = {_GUARDED} WHERE key = :key"
        self._try(lambda db: _write(db, statement, {"key": key, "split": split}))

    @contextmanager
    def claim(self, key: str) -> Iterator[None]:
        """Be the only one, of all runs on this machine, to ask for an attempt.

        Whoever comes second waits here, and then finds it with `get`. The claim of a process
        that dies dies with it.
        """
        try:
            lock = self._lock_file(key[:2])
        except OSError as fault:
            self._turn_off(str(fault))
            yield
            return
        try:
            while not _taken(lock):
                time.sleep(_POLL_S)
            yield
        finally:
            os.close(lock)

    def _try(self, use: Callable[[sqlite3.Connection], T]) -> T | None:
        """What `use` returns, None without a cache; a broken file is set aside, a new one made."""
        with self._lock:
            for _ in range(2):
                if self._off:
                    break
                try:
                    self._db = self._db or _opened(self.path)
                    return use(self._db)
                except (sqlite3.OperationalError, OSError) as fault:
                    self._turn_off(str(fault))
                except sqlite3.DatabaseError as fault:
                    self._set_aside(str(fault))
            return None

    def _turn_off(self, why: str) -> None:
        if not self._off:
            self._off = True
            self._say(f"the cache of teacher attempts is not used: {self.path}: {why}")

    def _set_aside(self, why: str) -> None:
        """Move a broken file out of the way, unless another process did so before."""
        if self._db is not None:
            self._db.close()
            self._db = None
        try:
            lock = self._lock_file("open")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
                if _sound(self.path):
                    return
                aside = self.path.with_name(f"{self.path.name}.broken-{time.time_ns()}")
                for tail in ("-journal", ""):
                    if os.path.exists(f"{self.path}{tail}"):
                        os.replace(f"{self.path}{tail}", f"{aside}{tail}")
            finally:
                os.close(lock)
        except OSError as fault:
            self._turn_off(str(fault))
            return
        self._say(f"the cache of teacher attempts is broken ({why}); it is set aside as {aside}")

    def _lock_file(self, name: str) -> int:
        folder = self.path.parent / "locks"
        folder.mkdir(parents=True, exist_ok=True)
        return os.open(folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _taken(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _opened(path: Path) -> sqlite3.Connection:
    """Open the file, making it if it is new; raises what sqlite raises of a broken one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    db = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
    try:
        db.execute("BEGIN IMMEDIATE")
        if not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            db.execute(_TABLE)
            db.execute(f"PRAGMA user_version = {VERSION}")
        db.execute("COMMIT")
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version != VERSION:
            raise sqlite3.OperationalError(
                f"another version of toprope wrote it ({version}, this one reads {VERSION})"
            )
        told = db.execute("PRAGMA quick_check(1)").fetchone()[0]
        if told != "ok":
            raise sqlite3.DatabaseError(str(told).replace("\n", " "))
    except BaseException:
        db.close()
        raise
    return db


def _sound(path: Path) -> bool:
    try:
        _opened(path).close()
    except sqlite3.OperationalError:
        return True
    except sqlite3.DatabaseError:
        return False
    return True


def _select(db: sqlite3.Connection, tail: str, given: list[str]) -> list[Cached]:
    rows = db.execute(f"SELECT {', '.join(_COLUMNS)} FROM attempts {tail}", given)
    return [Cached(*row) for row in rows]


def _write(db: sqlite3.Connection, statement: str, given: object) -> None:
    db.execute(statement, given)  # type: ignore[arg-type]

"""The tables of `ledger.sqlite` and of the journal beside it, and how a file is opened.

It must not know what the rows mean.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from toprope.terms import TopropeError

SCHEMA_VERSION = 3
BUSY_SECONDS = 30.0


class LedgerError(TopropeError):
    """The ledger cannot be opened, read or written; the message says what to do."""


class LedgerFullError(LedgerError):
    """The disk is full; what was committed is safe."""


LEDGER_TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE facts (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE tasks (
  task_id TEXT PRIMARY KEY, split TEXT NOT NULL, tier TEXT, cluster TEXT NOT NULL,
  ordinal INTEGER NOT NULL, never_seeded INTEGER NOT NULL, tested INTEGER NOT NULL,
  mutator_p REAL) WITHOUT ROWID;
CREATE INDEX tasks_by_split ON tasks (split, ordinal);
CREATE TABLE evidence (
  episode_id TEXT PRIMARY KEY, iteration INTEGER NOT NULL, purpose TEXT NOT NULL,
  task_id TEXT NOT NULL REFERENCES tasks, version INTEGER NOT NULL, policy TEXT NOT NULL,
  mode TEXT NOT NULL, rung TEXT NOT NULL, draw INTEGER NOT NULL, outcome TEXT NOT NULL,
  reward REAL NOT NULL, reverified INTEGER, prompt_tokens INTEGER NOT NULL,
  sampled_tokens INTEGER NOT NULL, tests_passed INTEGER, tests INTEGER) WITHOUT ROWID;
CREATE INDEX evidence_by_task ON evidence (
  task_id, iteration, version, purpose, policy, mode, outcome, reverified);
CREATE INDEX evidence_by_purpose ON evidence (
  purpose, iteration, task_id, policy, mode, outcome, reverified);
CREATE INDEX evidence_by_iteration ON evidence (iteration);
CREATE TABLE standings (
  task_id TEXT PRIMARY KEY REFERENCES tasks, state TEXT NOT NULL, looked INTEGER NOT NULL,
  solved INTEGER NOT NULL, place INTEGER) WITHOUT ROWID;
CREATE INDEX standings_waiting ON standings (state, solved, looked, place);
CREATE TABLE state_counts (state TEXT PRIMARY KEY, tasks INTEGER NOT NULL) WITHOUT ROWID;
CREATE TRIGGER standing_made AFTER INSERT ON standings BEGIN
  INSERT INTO state_counts VALUES (new.state, 1) ON CONFLICT DO UPDATE SET tasks = tasks + 1;
END;
CREATE TRIGGER standing_moved AFTER UPDATE OF state ON standings WHEN old.state != new.state BEGIN
  UPDATE state_counts SET tasks = tasks - 1 WHERE state = old.state;
  INSERT INTO state_counts VALUES (new.state, 1) ON CONFLICT DO UPDATE SET tasks = tasks + 1;
END;
CREATE TABLE transitions (
  iteration INTEGER NOT NULL, seq INTEGER NOT NULL, task_id TEXT NOT NULL REFERENCES tasks,
  before TEXT NOT NULL, after TEXT NOT NULL, reason TEXT NOT NULL,
  PRIMARY KEY (iteration, seq)) WITHOUT ROWID;
CREATE INDEX transitions_by_task ON transitions (task_id, iteration, seq, after);
CREATE TABLE teacher_calls (
  call_id TEXT PRIMARY KEY, task_id TEXT NOT NULL, rung TEXT NOT NULL,
  prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL, cost_usd REAL NOT NULL,
  outcome TEXT NOT NULL, live INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE seeds (
  iteration INTEGER NOT NULL, seq INTEGER NOT NULL, task_id TEXT NOT NULL, rung TEXT NOT NULL,
  attempt_id TEXT NOT NULL, kind TEXT NOT NULL, tokens INTEGER NOT NULL,
  place TEXT NOT NULL, PRIMARY KEY (iteration, seq)) WITHOUT ROWID;
CREATE TABLE rung_uses (
  iteration INTEGER NOT NULL, task_id TEXT NOT NULL, rung TEXT NOT NULL,
  teacher_tokens INTEGER NOT NULL, student_tokens INTEGER NOT NULL,
  before_s INTEGER NOT NULL, before_n INTEGER NOT NULL, setting TEXT NOT NULL,
  version INTEGER NOT NULL, helped_s INTEGER, helped_n INTEGER, seconds REAL,
  PRIMARY KEY (iteration, task_id, rung)) WITHOUT ROWID;
CREATE TABLE meters (
  iteration INTEGER NOT NULL, phase TEXT NOT NULL, processed_tokens INTEGER NOT NULL,
  sampled_tokens INTEGER NOT NULL, trained_tokens INTEGER NOT NULL, flops REAL NOT NULL,
  episodes INTEGER NOT NULL, PRIMARY KEY (iteration, phase)) WITHOUT ROWID;
CREATE TABLE seconds (
  iteration INTEGER NOT NULL, phase TEXT NOT NULL, seconds REAL NOT NULL,
  PRIMARY KEY (iteration, phase)) WITHOUT ROWID;
CREATE TABLE notes (
  iteration INTEGER NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL,
  PRIMARY KEY (iteration, key)) WITHOUT ROWID;
CREATE INDEX notes_by_key ON notes (key, iteration);
CREATE TABLE commits (
  iteration INTEGER PRIMARY KEY, version INTEGER NOT NULL, checkpoint TEXT NOT NULL);
"""

JOURNAL_TABLES = """
CREATE TABLE answers (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE calls (
  call_id TEXT PRIMARY KEY, task_id TEXT NOT NULL, rung TEXT NOT NULL,
  prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL, cost_usd REAL NOT NULL,
  outcome TEXT NOT NULL, live INTEGER NOT NULL) WITHOUT ROWID;
"""

# Rows that belong to an iteration and go when it is rolled back.
ITERATION_TABLES = (
    "evidence",
    "transitions",
    "seeds",
    "rung_uses",
    "meters",
    "seconds",
    "notes",
    "commits",
)


def open_database(path: Path, tables: str, *, create: bool, durable: bool) -> sqlite3.Connection:
    """Open one SQLite file for writing, making its tables if it is new.

    Raises LedgerError if it is missing (with create=False), is no ledger, or was written
    by another schema version.
    """
    if not create and not path.exists():
        raise LedgerError(f"{path} does not exist; give the folder of a run that was started")
    with explained(path):
        db = sqlite3.connect(
            path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        db.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        db.execute("PRAGMA foreign_keys = ON")
        db.execute("PRAGMA cache_spill = OFF")  # readers are not locked out mid-iteration
        _make_tables(db, tables)
        _check_version(db, path)
    return db


def open_for_reading(path: Path) -> sqlite3.Connection:
    """Open a ledger that another process may be writing; nothing in it can be changed."""
    if not path.exists():
        raise LedgerError(f"{path} does not exist; give the folder of a run that was started")
    with explained(path):
        db = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=BUSY_SECONDS)
        _check_version(db, path)
    return db


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into ones that say what to do."""
    try:
        yield
    except sqlite3.Error as error:
        raise _told(error, path) from error


def _told(error: sqlite3.Error, path: Path) -> LedgerError:
    text = str(error)
    if "disk is full" in text or "disk I/O error" in text:
        return LedgerFullError(
            f"{path}: {text}; free space on that disk and resume the run: "
            "everything up to the last committed iteration is safe"
        )
    if "locked" in text:
        return LedgerError(f"{path}: another process is writing it; let it end, then try again")
    if "not a database" in text or "malformed" in text:
        return LedgerError(f"{path} is not a ledger ({text}); start the run in another folder")
    if isinstance(error, sqlite3.IntegrityError):
        return LedgerError(
            f"{path}: {text}; a row was recorded twice, or its task was never registered"
        )
    return LedgerError(f"{path}: {text}")


def _make_tables(db: sqlite3.Connection, tables: str) -> None:
    """All tables and the version in one transaction, so that no half-made file is left."""
    if db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        return
    db.executescript(f"BEGIN IMMEDIATE;{tables}PRAGMA user_version = {SCHEMA_VERSION};COMMIT;")


def _check_version(db: sqlite3.Connection, path: Path) -> None:
    found = db.execute("PRAGMA user_version").fetchone()[0]
    if found != SCHEMA_VERSION:
        raise LedgerError(
            f"{path} has ledger version {found}, this toprope reads version {SCHEMA_VERSION}; "
            "use the toprope that wrote it, or start a new run in another folder"
        )

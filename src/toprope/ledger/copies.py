"""Copies a run's ledger and journal to where another run goes on from one of its iterations.

It must not know why.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from toprope.ledger.fork import FACT
from toprope.ledger.rows import AFTER, impossible_note
from toprope.ledger.schema import explained, open_for_reading
from toprope.ledger.store import JOURNAL_NAME, LEDGER_NAME, Ledger

_CLOSING = ("end", "graduation", impossible_note(AFTER))  # the notes of a run that has ended


def copy_ledger(run: Path, to: Path, iteration: int) -> None:
    """Write into the folder `to` what a run knew after an iteration, as if it had not ended.

    The closing measurement of held-out and the judgement are left out: they are made anew at
    the copy's own end. The journal comes whole, for answers that were paid for stay paid.

    Raises:
        LedgerError: there is no ledger, or it cannot be read or written.
    """
    for name in (LEDGER_NAME, JOURNAL_NAME):
        with (
            explained(run / name),
            closing(open_for_reading(run / name)) as db,
            closing(sqlite3.connect(to / name)) as copy,
        ):
            db.backup(copy)
    with Ledger.open(to) as ledger:
        ledger.rollback_after(iteration)
        marks = ",".join("?" * len(_CLOSING))
        with explained(ledger.path):
            ledger.db.execute("BEGIN IMMEDIATE")
            ledger.db.execute("DELETE FROM evidence WHERE purpose = ?", [AFTER])
            ledger.db.execute(f"DELETE FROM notes WHERE key IN ({marks})", _CLOSING)
            ledger.db.execute("DELETE FROM facts WHERE key = ?", [FACT])
            ledger.db.execute("COMMIT")
        ledger.record_facts({"status": "running", "stop_reason": None})

"""The ledger of one run: `ledger.sqlite`, the truth, and the journal beside it.

All rows of an iteration are written in one transaction, which `commit` ends: a kill at
any instant leaves exactly the committed iterations. Grades, teacher answers and teacher
calls go to the journal and are durable on arrival. It must not know who draws episodes,
what a checkpoint holds, or what the rows will be used for.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple
from operator import attrgetter
from pathlib import Path
from typing import Any, Self

from toprope.ledger import pool, queries, standings
from toprope.ledger.digest import digest
from toprope.ledger.journal import Journal
from toprope.ledger.rows import (
    STUDENT,
    TRAINING_SIDE,
    Commit,
    Evidence,
    Meter,
    RungUse,
    Seed,
    StateChange,
    TaskRow,
    TeacherCall,
)
from toprope.ledger.schema import (
    ITERATION_TABLES,
    LEDGER_TABLES,
    LedgerError,
    explained,
    open_database,
)
from toprope.ledger.states import Draws, Transition
from toprope.terms import Split, State

_EVIDENCE = attrgetter(*queries.EVIDENCE_COLUMNS)  # `astuple` copies deeply, and slowly
LEDGER_NAME = "ledger.sqlite"
JOURNAL_NAME = "journal.sqlite"


class Ledger:
    """A run's evidence, states, seeds and cost. One writer; open it with `Ledger.open`."""

    def __init__(self, path: Path, db: sqlite3.Connection, journal: Journal) -> None:
        self.path = path
        self.db = db
        self.journal = journal
        self._lost = False

    @classmethod
    def open(cls, path: Path | str, *, create: bool = False) -> Self:
        """Open `ledger.sqlite` (or the run folder that holds it) for writing.

        Raises LedgerError if it is missing, no ledger, or of another schema version.
        """
        path = Path(path)
        if path.is_dir():
            path = path / LEDGER_NAME
        db = open_database(path, LEDGER_TABLES, create=create, durable=True)
        ledger = cls(path, db, Journal(path.with_name(JOURNAL_NAME)))
        ledger._take_over_calls()
        return ledger

    def close(self) -> None:
        """Drop what was not committed and close both files; closing twice is harmless."""
        self.db.close()
        self.journal.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- writing: everything until `commit` is one transaction

    def record_meta(self, **values: Any) -> None:
        """Settings that belong to the run's identity (JSON values); part of the digest."""
        self._write("INSERT OR REPLACE INTO meta VALUES (?, ?)", _encoded(values))

    def record_facts(self, facts: Mapping[str, Any]) -> None:
        """What the summary needs and no rerun repeats (status, device, peak_rss_gb ...).

        Kept at once, outside the digest. Raises LedgerError in the middle of an iteration:
        commit or abandon it first.
        """
        self._outside_iteration("record_facts")
        self._write("INSERT OR REPLACE INTO facts VALUES (?, ?)", _encoded(facts))
        self._end("COMMIT")

    def register_tasks(self, rows: Iterable[TaskRow]) -> None:
        """Make tasks known, kept at once; a task that is known stays as it is, with its marks."""
        self._outside_iteration("register_tasks")
        known = list(rows)
        self._write(f"INSERT OR IGNORE INTO tasks VALUES ({_marks(8)})", map(astuple, known))
        trained = (row.task_id for row in known if row.split is Split.TRAIN)
        self._write(standings.REGISTER, ((t, standings.place_of(t)) for t in trained))
        self._end("COMMIT")

    def set_aside(self, task_ids: Iterable[str]) -> None:
        """These training tasks are never chosen to be drawn; kept at once."""
        self._outside_iteration("set_aside")
        self._write(standings.SET_ASIDE, ((t,) for t in task_ids))
        self._end("COMMIT")

    def take_in(self, iteration: int, task_ids: Iterable[str], told: Mapping[str, Any]) -> None:
        """Tasks that were set aside join the pool, noted with what is `told` of it.

        Going back before the iteration undoes it, and the marks that they got since.
        """
        joining = list(task_ids)
        self._write(standings.TAKE_IN, ((standings.place_of(t), t) for t in joining))
        self.note(iteration, pool.GREW, {**told, "tasks": joining})

    def mark_tested(self, task_ids: Iterable[str]) -> None:
        """These tasks are the random part that the cold test is made on."""
        self._write("UPDATE tasks SET tested = 1 WHERE task_id = ?", ((t,) for t in task_ids))

    def mark_never_seeded(self, task_ids: Iterable[str]) -> None:
        """These cold tasks are the control: no rung but more samples is ever tried on them."""
        self._write("UPDATE tasks SET never_seeded = 1 WHERE task_id = ?", ((t,) for t in task_ids))

    def record_evidence(self, rows: Iterable[Evidence]) -> None:
        """Episodes' outcomes. An episode id that is known raises LedgerError."""
        drawn = list(rows)
        self._write(f"INSERT INTO evidence VALUES ({_marks(16)})", map(_EVIDENCE, drawn))
        looked = {row.task_id for row in drawn if row.purpose in TRAINING_SIDE}
        self._write(standings.FOLLOW_DRAWS, ((task_id,) for task_id in sorted(looked)))

    def record_transitions(self, iteration: int, moves: Iterable[Transition | None]) -> None:
        """State changes, in order; None (a task that stays) is passed over.

        Raises LedgerError if a move starts from a state that the task is not in.
        """
        wanted = [move for move in moves if move is not None]
        now = self.states({move.task_id for move in wanted})
        seq = self._next_seq("transitions", iteration)
        rows: list[tuple[Any, ...]] = []
        for move in wanted:
            if now.get(move.task_id, State.UNSEEN) is not move.before:
                raise LedgerError(
                    f"{move.task_id} is {now[move.task_id]}, not {move.before}; "
                    "decide its move from the ledger's current states"
                )
            now[move.task_id] = move.after
            rows.append((iteration, seq + len(rows), *move))
        self._write(f"INSERT INTO transitions VALUES ({_marks(6)})", rows)
        self._write(standings.FOLLOW_MOVES, ((task_id,) for task_id in now))

    def record_seeds(self, rows: Iterable[Seed]) -> None:
        """Teacher- or reference-derived tokens that were used; `seq` is given here."""
        counted: list[tuple[Any, ...]] = []
        starts: dict[int, int] = {}
        for row in rows:
            first = starts.setdefault(row.iteration, self._next_seq("seeds", row.iteration))
            counted.append((row.iteration, first, *astuple(row)[2:]))
            starts[row.iteration] += 1
        self._write(f"INSERT INTO seeds VALUES ({_marks(8)})", counted)

    def record_rung_uses(self, rows: Iterable[RungUse]) -> None:
        """Rungs given, each at most once to a task in an iteration."""
        self._write(f"INSERT INTO rung_uses VALUES ({_marks(12)})", map(astuple, rows))

    def record_meters(self, rows: Iterable[Meter]) -> None:
        """Token, FLOP and episode counts, added to what the iteration's phase already has."""
        added = ", ".join(
            f"{name} = {name} + excluded.{name}"
            for name in (
                "processed_tokens",
                "sampled_tokens",
                "trained_tokens",
                "flops",
                "episodes",
            )
        )
        self._write(
            f"INSERT INTO meters VALUES ({_marks(7)}) ON CONFLICT DO UPDATE SET {added}",
            map(astuple, rows),
        )

    def record_seconds(self, iteration: int, seconds: Mapping[str, float]) -> None:
        """Wall-clock per phase, added up; never part of the digest."""
        self._write(
            "INSERT INTO seconds VALUES (?, ?, ?) "
            "ON CONFLICT DO UPDATE SET seconds = seconds + excluded.seconds",
            ((iteration, phase, taken) for phase, taken in seconds.items()),
        )

    def note(self, iteration: int, key: str, value: Any) -> None:
        """A JSON value about an iteration; part of the digest, so no clock in it."""
        self._write(
            "INSERT OR REPLACE INTO notes VALUES (?, ?, ?)", [(iteration, key, _json(value))]
        )

    def record_teacher_calls(self, rows: Iterable[TeacherCall]) -> None:
        """Spend: durable at once, never rolled back, in the ledger from the next commit."""
        self.journal.add_calls(rows)

    def journal_get(self, keys: Iterable[str]) -> dict[str, Any]:
        """Answers (grades by episode id, teacher answers) that already arrived."""
        return self.journal.get(keys)

    def journal_put(self, answers: Mapping[str, Any]) -> None:
        """Keep answers by id, durable at once; the first answer to an id stays."""
        self.journal.put(answers)

    # --- iterations

    def commit(self, iteration: int, version: int, checkpoint: str) -> None:
        """End an iteration: its rows, the teacher calls so far and the commit, or nothing."""
        last = self.last_commit()
        if last is not None and iteration <= last.iteration:
            raise LedgerError(
                f"iteration {iteration} follows {last.iteration}, which is committed; "
                "call rollback_after to go back first"
            )
        calls = self.journal.new_calls()
        self._write(f"INSERT OR IGNORE INTO teacher_calls VALUES ({_marks(8)})", calls)
        self._write("INSERT INTO commits VALUES (?, ?, ?)", [(iteration, version, checkpoint)])
        self._end("COMMIT")
        self.journal.forget_new(calls)

    def abandon(self) -> None:
        """Drop what was written since the last commit, as a kill would."""
        self._lost = False
        if self.db.in_transaction:
            self._end("ROLLBACK")

    def rollback_after(self, iteration: int) -> None:
        """Go back to a committed iteration; journal, teacher calls and facts stay."""
        self.abandon()
        touched = self.db.execute(standings.TOUCHED_AFTER, [iteration, iteration]).fetchall()
        joined = [(task_id,) for task_id in pool.joined(self.db, after=iteration)]
        self._write(standings.SET_ASIDE, joined)
        self._write("UPDATE tasks SET tested = 0, never_seeded = 0 WHERE task_id = ?", joined)
        for table in ITERATION_TABLES:
            self._write(f"DELETE FROM {table} WHERE iteration > ?", [(iteration,)])
        self._write(standings.FOLLOW_MOVES, touched)
        self._write(standings.FOLLOW_DRAWS, touched)
        self._end("COMMIT")

    # --- reading: what was written in the open iteration is seen

    def last_commit(self) -> Commit | None:
        """The newest iteration that is whole, or None."""
        return queries.last_commit(self.db)

    def tasks(self) -> list[TaskRow]:
        """Every registered task."""
        return queries.tasks(self.db)

    def states(self, task_ids: Iterable[str] | None = None) -> dict[str, State]:
        """The state of every training task, or of those named."""
        return queries.states(self.db, task_ids)

    def counts(self) -> dict[State, int]:
        """How many training tasks stand in each state."""
        return queries.counts(self.db)

    def transitions(self, task_id: str | None = None) -> list[StateChange]:
        """State changes in order, of one task or of all."""
        return queries.transitions(self.db, task_id)

    def evidence_for(self, task_id: str, purposes: Sequence[str] | None = None) -> list[Evidence]:
        """A task's evidence in the order drawn, every policy and mode."""
        return queries.evidence(self.db, task_id=task_id, purposes=purposes)

    def plain_draws(
        self,
        *,
        purposes: Sequence[str] = TRAINING_SIDE,
        since: int | None = None,
        policy: str = STUDENT,
        task_ids: Iterable[str] | None = None,
    ) -> dict[str, list[Draws]]:
        """Per task, plain draws as `states.Draws`; see `queries.plain_draws`."""
        return queries.plain_draws(
            self.db, purposes=purposes, since=since, policy=policy, task_ids=task_ids
        )

    def meta(self) -> dict[str, Any]:
        """The run's identity, as recorded."""
        return queries.keyed(self.db, "meta")

    def facts(self) -> dict[str, Any]:
        """What was recorded for the summary outside the digest."""
        return queries.keyed(self.db, "facts")

    def last_note(self, key: str) -> Any:
        """The newest value noted under a key, or None."""
        return queries.last_note(self.db, key)

    def digest(self) -> str:
        """SHA-256 of all that two equal runs share; see `digest.digest`."""
        return digest(self.db)

    # --- inside

    def _write(self, statement: str, rows: Iterable[tuple[Any, ...]]) -> None:
        """Write in the open transaction, beginning one if there is none.

        A failed write (disk full) drops the whole iteration, and nothing more of it is
        taken until `abandon`: half an iteration must not be committed later.
        """
        if self._lost:
            raise LedgerError(
                f"{self.path}: an earlier write of this iteration failed and dropped its rows; "
                "repeat the iteration from the last commit"
            )
        with explained(self.path):
            if not self.db.in_transaction:
                self.db.execute("BEGIN IMMEDIATE")
            try:
                self.db.executemany(statement, rows)
            except BaseException:
                self._lost = True
                if self.db.in_transaction:
                    self.db.execute("ROLLBACK")
                raise

    def _end(self, how: str) -> None:
        with explained(self.path):
            try:
                if self.db.in_transaction:
                    self.db.execute(how)
            except BaseException:
                if self.db.in_transaction:
                    self.db.execute("ROLLBACK")
                raise

    def _outside_iteration(self, what: str) -> None:
        if self.db.in_transaction:
            raise LedgerError(f"{what} in the middle of an iteration; call commit or abandon first")

    def _next_seq(self, table: str, iteration: int) -> int:
        query = f"SELECT coalesce(max(seq) + 1, 0) FROM {table} WHERE iteration = ?"
        return int(self.db.execute(query, [iteration]).fetchone()[0])

    def _take_over_calls(self) -> None:
        """Calls journalled before a kill are spend, whatever became of their iteration."""
        self._write(
            f"INSERT OR IGNORE INTO teacher_calls VALUES ({_marks(8)})", self.journal.calls()
        )
        self._end("COMMIT")


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _encoded(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(key, _json(value)) for key, value in values.items()]


def _marks(n: int) -> str:
    return ",".join("?" * n)

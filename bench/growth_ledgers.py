"""Makes ledgers of any size for `growth.py`: the real schema and store, invented outcomes."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from toprope.climb import books
from toprope.climb.config import ClimbConfig
from toprope.climb.pool.choose import train_batch
from toprope.ledger.accounts import share_at
from toprope.ledger.rows import COLD, STUDENT, TRAIN, Evidence, Meter, Seed, TaskRow
from toprope.ledger.states import Transition, after_cold_test
from toprope.ledger.store import LEDGER_NAME, Ledger
from toprope.terms import Mode, Outcome, Split, State

CONFIG = ClimbConfig.model_validate({"climbing": {"tasks": 16, "explore": 0.5, "group": 8}})
COLD_TASKS, COLD_DRAWS = 200, 16
_STEPPED = 20_000  # rows that are written step by step, as a climb writes them


@dataclass
class Made:
    """A run folder with a ledger, and how its outcomes are thrown."""

    folder: Path
    dice: random.Random
    iteration: int = 0

    @classmethod
    def of(cls, folder: Path, *, pool: int, rows: int) -> Made:
        """Return a run of `pool` training tasks and about `rows` rows of evidence."""
        folder.mkdir()
        made = cls(folder, random.Random(pool + rows))
        with Ledger.open(folder / LEDGER_NAME, create=True) as ledger:
            ledger.db.execute("PRAGMA synchronous = OFF")  # what is measured opens it anew
            ledger.register_tasks(
                TaskRow(f"task-{i:07d}", Split.TRAIN, None, f"f{i // 2}", i) for i in range(pool)
            )
            made.cold_test(ledger, [f"task-{i:07d}" for i in range(min(COLD_TASKS, pool // 2))])
            made.bulk(ledger, rows - _STEPPED)
            while made.iteration * 128 < rows:
                made.step(ledger, made.choose(ledger))
        return made

    def bulk(self, ledger: Ledger, rows: int) -> None:
        """Write all but the last iterations in one transaction each thousand, tasks in turn."""
        ids = [task.task_id for task in ledger.tasks()][COLD_TASKS:]
        while self.iteration * 128 < rows:
            drawn: list[Evidence] = []
            for _ in range(1000):
                self.iteration += 1
                start = self.iteration * 16 % len(ids)
                drawn += self.rows((ids + ids[:16])[start : start + 16], TRAIN, 8, chance=0.5)
                self.account(ledger)
            ledger.record_evidence(drawn)
            self.move(ledger, ids)
            whole = range(self.iteration - 999, self.iteration)
            ledger.db.executemany(
                "INSERT INTO commits VALUES (?, ?, 'base')", [(at, at) for at in whole]
            )
            ledger.commit(self.iteration, self.iteration, "base")

    def move(self, ledger: Ledger, ids: Sequence[str]) -> None:
        """Move every task: to live, or between live and mastered."""
        after = {State.UNSEEN: State.LIVE, State.LIVE: State.MASTERED, State.MASTERED: State.LIVE}
        moves = [Transition(t, now, after[now], "told") for t, now in ledger.states(ids).items()]
        ledger.record_transitions(self.iteration, moves)

    def cold_test(self, ledger: Ledger, ids: Sequence[str]) -> None:
        """Find these tasks cold."""
        ledger.record_evidence(self.rows(ids, COLD, COLD_DRAWS, chance=0.0))
        tested = ledger.plain_draws(purposes=[COLD], task_ids=ids)
        ledger.record_transitions(0, [after_cold_test(t, tested[t]) for t in ids])
        ledger.commit(0, 0, "base")

    def choose(self, ledger: Ledger) -> list[str]:
        """Return the tasks of the next iteration, chosen as a climb chooses them."""
        chosen, reviews = train_batch(ledger.db, CONFIG, self.iteration + 1)
        return [one.task_id for one in (*chosen, *reviews)]

    def step(self, ledger: Ledger, ids: Sequence[str]) -> None:
        """Record what an iteration records, and commit it."""
        self.iteration += 1
        at = self.iteration
        ledger.record_evidence(self.rows(ids, TRAIN, CONFIG.climbing.group, chance=0.5))
        ledger.record_transitions(at, books.moves_after(ledger, TRAIN, ids))
        ledger.record_seeds([Seed(at, 0, t, "6", f"{at}", "recorded", 20) for t in ids[: at % 2]])
        self.account(ledger)
        share_at(ledger.db, at)
        ledger.counts()
        ledger.commit(at, at, "base")

    def account(self, ledger: Ledger) -> None:
        """Record the meters, the clock and the note of an iteration."""
        at = self.iteration
        ledger.record_meters(
            [Meter(at, "sample", 9000, 2000, 0, 1e12, 128), Meter(at, "train", 0, 0, 2000, 1e12)]
        )
        ledger.record_seconds(at, {"sample": 1.0, "train": 1.0})
        ledger.note(at, "quiet", {"reason": "exhausted"})

    def rows(self, ids: Iterable[str], purpose: str, draws: int, chance: float) -> list[Evidence]:
        """Return a group of plain draws of each task."""
        at = self.iteration
        return [
            Evidence(
                f"{purpose}/{at}/{task}/{draw}", at, purpose, task, at, STUDENT, Mode.PLAIN, "",
                draw, Outcome.PASSED if self.dice.random() < chance else Outcome.FAILED, 0.0,
                None, 200, 16, 0, 4,
            )
            for task in ids
            for draw in range(draws)
        ]  # fmt: skip

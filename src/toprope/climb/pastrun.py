"""A run that was made: its settings, its student and its checkpoints, found without changing it.

Reads a run directory that another process may still be writing.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toprope.climb.config import ClimbConfig, ConfigError, load_whole
from toprope.climb.rundir import CONFIG, RunDir, RunDirError
from toprope.ledger.queries import flops_spent
from toprope.ledger.rows import AFTER, STUDENT
from toprope.ledger.schema import explained, open_for_reading
from toprope.ledger.store import LEDGER_NAME
from toprope.ledger.summary import recompute
from toprope.policy.checkpoint import step_name
from toprope.policy.load import Say, resolve

LAST, BEST = "last", "best"


@dataclass(frozen=True)
class PastRun:
    """A run folder, opened with `PastRun.open`."""

    folder: Path
    config: ClimbConfig

    @classmethod
    def open(cls, folder: Path) -> PastRun:
        """Return the run in `folder`.

        Raises:
            RunDirError: there is no run, or another version of toprope wrote it.
        """
        if not (folder / CONFIG).is_file() or not (folder / LEDGER_NAME).is_file():
            raise RunDirError(f"{folder} holds no run: give the folder of one, as --run did")
        try:
            return cls(folder, load_whole(folder / CONFIG))
        except ConfigError as error:
            raise RunDirError(f"{error}; another version of toprope wrote this run") from error

    def base(self, *, say: Say = print) -> Path:
        """Return the folder of the student that the run began with, fetched if need be."""
        return resolve(self.config.student.model, say=say)

    def checkpoint(self, which: str = LAST) -> Path:
        """Return the folder of the `last` or `best` checkpoint, or of one by name (`step-…`).

        `best` has the highest dev pass rate of those that are kept.

        Raises:
            RunDirError: there is no such checkpoint; the message names those there are.
        """
        written = RunDir(self.folder).written_checkpoints()
        if not written:
            raise RunDirError(f"{self.folder} has no checkpoint yet: let the run go on")
        known = {step_name(iteration): iteration for iteration in written}
        known[LAST] = written[-1]
        scored = [iteration for iteration in self._by_dev_rate() if iteration in written]
        if scored:
            known[BEST] = scored[0]
        if which not in known:
            raise RunDirError(
                f"{self.folder} has no checkpoint {which}: take one of {', '.join(known)}"
            )
        return RunDir(self.folder).checkpoint(known[which])

    def summary(self) -> dict[str, Any]:
        """Return the run's summary, recomputed from its ledger."""
        return recompute(self.folder)

    def flops(self, *, with_teacher: bool) -> float:
        """Return the FLOPs that the run has spent on learning (see `queries.flops_spent`)."""
        path = self.folder / LEDGER_NAME
        with closing(open_for_reading(path)) as db, explained(path):
            return flops_spent(db, with_teacher=with_teacher)

    def measured_after(self) -> int | None:
        """Return the policy version that the last held-out evaluation measured, or None."""
        found = self._query(
            "SELECT max(version) FROM evidence WHERE purpose = ? AND policy = ?", [AFTER, STUDENT]
        )
        return None if found[0][0] is None else int(found[0][0])

    def _by_dev_rate(self) -> list[int]:
        rows = self._query(
            "SELECT iteration FROM notes WHERE key = 'dev_rate' ORDER BY value + 0 DESC, iteration"
        )
        return [int(iteration) for (iteration,) in rows]

    def _query(self, query: str, values: list[str] | None = None) -> list[tuple[Any, ...]]:
        path = self.folder / LEDGER_NAME
        with closing(open_for_reading(path)) as db, explained(path):
            return db.execute(query, values or []).fetchall()

"""The default teacher: a file of attempts that were made and verified earlier.

Tokens and money count as if the teacher had been asked live. A row is used only for the
task it was recorded on, and only while that task still reads the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path

from toprope.teacher.protocol import Budget, BudgetExhausted, Price, Purse, Spend
from toprope.teacher.rows import Recording, Row, read_recording
from toprope.terms import Attempt, Outcome, Split, Task

DEFAULT = "default"
SHIPPED = "teacher-qwen2.5-coder-1.5b.jsonl.xz"


def recording_path(name_or_path: str | Path) -> Path:
    """The file of a recording; `default` names the one that is shipped."""
    if str(name_or_path) == DEFAULT and not Path(name_or_path).exists():
        return Path(str(resources.files("toprope") / "data" / SHIPPED))
    return Path(name_or_path)


class RecordedTeacher:
    """Gives what was recorded, in the recorded order, and then nothing more."""

    answer_key = False

    def __init__(
        self,
        recording: Recording,
        *,
        budget: Budget | None = None,
        price: Price | None = None,
    ) -> None:
        self.header = recording.header
        self.name = recording.header.teacher
        self.parameters = recording.header.parameters
        self.purse = Purse(budget)
        self._price = price or Price()
        self._rows: dict[tuple[str, int], Row] = {}
        for row in recording.rows:
            self._rows[row.task_id, row.index] = row
        self._paid: set[str] = set()

    @classmethod
    def open(cls, name_or_path: str | Path, *, budget: Budget | None = None) -> RecordedTeacher:
        """The teacher of a recording's file; raises `RecordingError` if it cannot be read."""
        return cls(read_recording(recording_path(name_or_path)), budget=budget)

    @property
    def ended(self) -> str:
        """ "budget" once an attempt could not be afforded."""
        return "budget" if self.purse.refused else ""

    def attempts(self, task: Task, n: int, start: int = 0) -> list[Attempt]:
        """Attempts `start` to `start + n - 1`, as many as were recorded of this task.

        None of a dev or held-out task: those are there to measure the teacher by.

        Raises:
            BudgetExhausted: not one of them could be afforded.
        """
        found: list[Attempt] = []
        if task.split is not Split.TRAIN:
            return found
        for index in range(start, start + n):
            row = self._rows.get((task.id, index))
            if row is None or not row.fits(task):
                break
            attempt = row.attempt(self.name, self._price)
            try:
                self._pay(attempt)
            except BudgetExhausted:
                if not found:
                    raise
                break
            found.append(attempt)
        return found

    def known(self, tasks: Iterable[Task]) -> dict[str, tuple[int, int]]:
        """By task that was recorded as it reads now: how many attempts passed, and of how many.

        Nothing is spent: this judges the teacher and teaches nobody. Failures that were ours
        are left out.
        """
        by_id = {task.id: task for task in tasks}
        found: dict[str, tuple[int, int]] = {}
        for row in self._rows.values():
            task = by_id.get(row.task_id)
            if task is not None and row.outcome is not Outcome.INFRA and row.fits(task):
                passed, tried = found.get(task.id, (0, 0))
                found[task.id] = (passed + (row.outcome is Outcome.PASSED), tried + 1)
        return found

    def remember(self, paid: Mapping[str, Spend]) -> None:
        """Book attempts, by id, that earlier sittings of a run used: its limits are the run's."""
        for attempt_id in paid.keys() - self._paid:
            self.purse.book(paid[attempt_id])
            self._paid.add(attempt_id)

    def _pay(self, attempt: Attempt) -> None:
        if attempt.id in self._paid:
            return
        tokens = attempt.prompt_tokens + attempt.completion_tokens
        self.purse.pay(Spend(1, tokens, attempt.cost_usd))
        self._paid.add(attempt.id)

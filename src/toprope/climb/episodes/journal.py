"""Where grades and a teacher's answers are kept as they arrive, so that none is made twice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from toprope.ledger.journal import Journal as JournalFile


class Journal(Protocol):
    """Answers by id; a run's ledger is one."""

    def journal_get(self, keys: Iterable[str]) -> dict[str, Any]:
        """Return the answers that already arrived."""

    def journal_put(self, answers: Mapping[str, Any]) -> None:
        """Keep answers by id; the first answer to an id stays."""


class Unkept:
    """A journal that keeps nothing, for measurements that are made outside a run."""

    def journal_get(self, keys: Iterable[str]) -> dict[str, Any]:
        """Return nothing."""
        return {}

    def journal_put(self, answers: Mapping[str, Any]) -> None:
        """Forget it."""


class TeacherAnswers:
    """A teacher's answers in a run's journal, by the teacher's own keys; see `teacher.Kept`."""

    PREFIX = "teacher:"

    def __init__(self, file: JournalFile) -> None:
        self.file = file

    def get(self, key: str) -> Any:
        """Return the answer kept under a key, or None."""
        return self.file.get([self.PREFIX + key]).get(self.PREFIX + key)

    def values(self) -> list[Any]:
        """Return every answer, whatever became of the iteration that asked for it."""
        return list(self.file.under(self.PREFIX).values())

    def __setitem__(self, key: str, answer: Any) -> None:
        """Keep an answer, durable at once; the first answer to a key stays."""
        self.file.put({self.PREFIX + key: answer})

"""What a dialect is, and which there are: one module each, found by name.

A new one is a module beside these with the same functions, entered in `DIALECTS` and named
in `climb/config.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from toprope.harness import lines, rewrite
from toprope.terms import Task


class Dialect(Protocol):
    """How a student acts in a task: what it is shown, and how its text becomes edits."""

    DIALECT: str
    SYSTEM: str
    STOP: str
    DRAFTED: bool
    """Whether answers depart from `draft`: then `STOP` ends them only after the departure, and
    a demonstration ends as its text does, without the tokenizer's end token."""
    QUESTION: str
    ANSWER: str
    ENDING: str
    """In words, where an answer ends."""
    SHOTS: tuple[tuple[str, str], ...]

    def messages(self, task: Task, *, granted: bool = False) -> list[dict[str, str]]:
        """Return the chat messages of an episode; `granted` puts two worked examples first."""

    def draft(self, task: Task) -> str:
        """Return the answer that changes nothing, if answers are departures from it; or ''."""

    def held(self, task: Task) -> str:
        """Return the part of the draft that every answer keeps; the granted protocol forces it."""

    def parse(self, text: str, task: Task) -> dict[str, str]:
        """Return the changed files that an answer asks for, or raise `MalformedAction`."""

    def unchanged(self, task: Task, action: str) -> str:
        """Return what an answer would be if it gave the same place back as it is."""

    def could_continue(self, text: str) -> bool:
        """Return whether what was decoded can still become an answer."""

    def ended(self, text: str, task: Task) -> str:
        """Return what is read of a sampled text: it, cut where an answer ends."""

    def express(self, task: Task, new_files: Mapping[str, str]) -> str | None:
        """Return a verified final state as an answer, or None if it cannot be one."""


DIALECTS: dict[str, Dialect] = {lines.DIALECT: lines, rewrite.DIALECT: rewrite}

"""What a diff does to files, as plain data, and how one that does not fit is refused.

Knows neither the text of a diff nor the files.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NoReturn

from toprope.tasks.soundness import TaskFormatError


@dataclass(slots=True)
class Hunk:
    """The lines from `first` (from 0) that must be `old`, and what they become.

    Lines carry their newline; `at` is the hunk's line in the diff, from 1.
    """

    first: int
    at: int
    old: list[str] = field(default_factory=list)
    new: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Change:
    """What a diff does to one file; a name is None where there is no file."""

    old: str | None
    new: str | None
    at: int
    hunks: list[Hunk] = field(default_factory=list)


def refuse(where: str, at: int, why: str) -> NoReturn:
    """Raise the `TaskFormatError` for the line `at` of the diff."""
    raise TaskFormatError(f"{where}: diff line {at}: {why}")

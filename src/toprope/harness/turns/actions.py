"""What can be done in a turn, however a dialect spells it."""

from __future__ import annotations

from dataclasses import dataclass


class Unreadable(Exception):
    """A message is no action; its text is what the model is told."""


@dataclass(frozen=True, slots=True)
class View:
    """Show lines of a file, 1-based; `last` 0 means as many as fit."""

    path: str
    first: int = 1
    last: int = 0


@dataclass(frozen=True, slots=True)
class Search:
    """Find a text, as it is, in all files or in those whose path contains `path`."""

    text: str
    path: str = ""


@dataclass(frozen=True, slots=True)
class SetLines:
    """Put `text` in the place of lines `first` to `last`, both included."""

    path: str
    first: int
    last: int
    text: str


@dataclass(frozen=True, slots=True)
class Replace:
    """Put `new` in the place of `old`, which must occur exactly once.

    `path` "" is the file that the task is about; `old` "" makes a file.
    """

    path: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class RunTests:
    """Run the tests that are there to be seen."""


@dataclass(frozen=True, slots=True)
class Bash:
    """Run a shell command in the workspace."""

    command: str


@dataclass(frozen=True, slots=True)
class Submit:
    """The work is done."""


Action = View | Search | SetLines | Replace | RunTests | Bash | Submit

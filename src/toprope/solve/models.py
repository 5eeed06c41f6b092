"""What a model at work is: it answers a conversation, or draws answers in a student's dialect.

Plain data in and out. It knows neither where the model is nor what an answer is worth.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from toprope.harness.dialect import Dialect
from toprope.terms import Task, Verdict

Messages = Sequence[Mapping[str, str]]


class Said(NamedTuple):
    """What a model said in a turn, and the tokens it read and wrote for it."""

    text: str
    prompt_tokens: int
    sampled_tokens: int


class Drawn(NamedTuple):
    """An answer as it was read: its text, the changes it asks for (or why there are none), tokens.

    Of what the sampler copied from the shown function nothing was decoded; it is counted in
    `prompt_tokens`.
    """

    text: str
    read: Mapping[str, str] | Verdict
    prompt_tokens: int
    sampled_tokens: int


class Talker(Protocol):
    """A model in a conversation."""

    def say(self, messages: Messages, name: str, most: int) -> Said:
        """Return the next message, of at most `most` tokens; `name` fixes its draws."""


class Drawer(Protocol):
    """A model that answers a task at once, in a student's dialect."""

    @property
    def dialect(self) -> Dialect:
        """The form of its answers."""

    @property
    def at_once(self) -> int:
        """How many answers it draws best together."""

    def draw(self, task: Task, turn: int, count: int, most: int) -> list[Drawn]:
        """Return up to `count` answers, all of them together of at most `most` tokens.

        `turn` is how often this task was asked before: other turns, other answers.
        """

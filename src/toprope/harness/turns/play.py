"""One attempt over several turns: ask, read, do, show; until it is submitted or a limit is met.

It knows the model only as a function from messages to an answer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from toprope.harness.turns.actions import Action, Submit, Unreadable
from toprope.harness.turns.desk import Desk
from toprope.harness.turns.dialects import TurnDialect
from toprope.sandbox.protocol import Session
from toprope.terms import Task

Message = Mapping[str, str]


class Unanswered(Exception):
    """The model will say no more here: its context is full, or what it may use is used up."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What a model said, and how many tokens it took to say."""

    text: str
    tokens: int


@dataclass(frozen=True, slots=True)
class TurnLimits:
    """What an attempt may use. `observation` is in characters, its head and tail are kept."""

    turns: int = 12
    tokens: int = 6000
    seconds: float = 600.0
    command_s: float = 30.0
    observation: int = 4000
    unreadable: int = 3


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn: what was said, which actions it held (none: unreadable), what was shown."""

    text: str
    actions: tuple[str, ...]
    observation: str
    tokens: int


@dataclass(frozen=True, slots=True)
class Played:
    """A finished attempt.

    `end` is "submitted", "turns", "tokens", "seconds", "unanswered" or "malformed" (so many
    unreadable messages in a row). `changes` are the editable files as it left them.
    """

    end: str
    turns: tuple[Turn, ...]
    changes: Mapping[str, str] = field(default_factory=dict)


def play(
    task: Task,
    dialect: TurnDialect,
    ask: Callable[[Sequence[Message]], Answered],
    session: Session,
    limits: TurnLimits | None = None,
) -> Played:
    """Let `ask` work on `task` in a session that holds the task's starting state.

    `ask` may raise `Unanswered`: the attempt ends there, with what it has changed so far.
    """
    limits = limits or TurnLimits()
    desk = Desk(task, session, limits.command_s)
    messages: list[Message] = [
        {"role": "system", "content": dialect.SYSTEM},
        {"role": "user", "content": opening(task)},
    ]
    turns: list[Turn] = []
    begun = time.monotonic()
    end = ""
    while not end:
        try:
            answer = ask(messages)
        except Unanswered:
            end = "unanswered"
            break
        turn, end = take_turn(answer, dialect, desk, limits)
        turns.append(turn)
        end = end or exceeded(turns, limits, time.monotonic() - begun)
        messages += [
            {"role": "assistant", "content": answer.text},
            {"role": "user", "content": turn.observation},
        ]
    return Played(end, tuple(turns), desk.changes())


def opening(task: Task) -> str:
    """The first message: the statement, and the code that it is about with line numbers."""
    focus = task.focus
    lines = task.files[focus.path].split("\n")
    shown = [
        f"{at:5} {lines[at - 1]}" for at in range(focus.first, min(focus.last, len(lines)) + 1)
    ]
    return "\n".join([task.statement, "", focus.path, *shown])


def take_turn(
    answer: Answered, dialect: TurnDialect, desk: Desk, limits: TurnLimits
) -> tuple[Turn, str]:
    """Read a message, do what it asks for, and return the turn; "submitted" where that ends it."""
    try:
        actions = dialect.read(answer.text)
    except Unreadable as fault:
        return Turn(answer.text, (), str(fault), answer.tokens), ""
    seen, done, end = [], [], ""
    for action in actions:
        done.append(_name(action))
        if isinstance(action, Submit):
            end = "submitted"
            break
        seen.append(desk.do(action))
    observation = cut("\n\n".join(seen), limits.observation)
    return Turn(answer.text, tuple(done), observation, answer.tokens), end


def exceeded(turns: Sequence[Turn], limits: TurnLimits, seconds: float) -> str:
    """Return the name of the limit that these turns have met, or nothing."""
    last = turns[-limits.unreadable :]
    if len(last) == limits.unreadable and not any(turn.actions for turn in last):
        return "malformed"
    if len(turns) >= limits.turns:
        return "turns"
    if sum(turn.tokens for turn in turns) >= limits.tokens:
        return "tokens"
    return "seconds" if seconds >= limits.seconds else ""


def cut(text: str, most: int) -> str:
    """Keep the head and the tail of a text that is too long."""
    if len(text) <= most:
        return text
    half = most // 2
    return f"{text[:half]}\n... {len(text) - 2 * half} characters left out ...\n{text[-half:]}"


def _name(action: Action) -> str:
    return type(action).__name__

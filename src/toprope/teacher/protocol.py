"""What a teacher is: a name, attempts at a task, and a purse that it cannot overdraw.

Plain data in and out, idempotent by attempt id. Nothing here knows which teacher answers,
how it is asked, or what the student is.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from toprope.terms import Attempt, Task, TopropeError


class TeacherError(TopropeError):
    """A teacher cannot answer, and the message says what to change."""


class BudgetExhausted(TeacherError):
    """A budget is used up: an ordinary state of a run, with the name of the limit reached."""

    def __init__(self, limit: str, allowed: float) -> None:
        super().__init__(
            f"the teacher's budget of {allowed:g} {limit} is used up; raise it to ask for more"
        )
        self.limit = limit
        self.allowed = allowed


Files = Mapping[str, str]
Express = Callable[[Task, Files], str | None]
"""Writes a final state as the student's action, or None where its dialect cannot; the
harness knows how, and whoever opens a teacher hands it over."""


class Teacher(Protocol):
    """Anything stronger than the student that can attempt a task."""

    @property
    def name(self) -> str:
        """The teacher's name, part of every attempt id."""

    @property
    def answer_key(self) -> bool:
        """Whether it reads the task's own fix: then no claim rests on it."""

    @property
    def parameters(self) -> int | None:
        """The size of its model, from which its FLOPs are counted; None if unknown."""

    @property
    def ended(self) -> str:
        """Why it gives no more now: "budget", "unreachable", or "" while it does."""

    def attempts(self, task: Task, n: int, start: int = 0) -> list[Attempt]:
        """Attempts `start` to `start + n - 1` at `task`, fewer if no more can be had.

        Asked again for the same indices it returns the same attempts and spends nothing. A
        question that got no answer is one of outcome `infra`.

        Raises:
            BudgetExhausted: attempts were wanted and not one could be afforded.
            TeacherError: the teacher cannot be used as it was opened.
        """


class Kept(Protocol):
    """Answers by key, as JSON values, that outlive a call: a run's journal, or a plain dict."""

    def get(self, key: str, /) -> Any:
        """The answer kept under a key, or None."""

    def values(self) -> Iterable[Any]:
        """Every answer that is kept."""

    def __setitem__(self, key: str, answer: Any, /) -> None:
        """Keep an answer; it is safe when this returns. Called from several threads."""


def attempt_id(task_id: str, teacher: str, index: int) -> str:
    """The id under which a teacher's attempt is asked for, kept and never paid twice."""
    return f"{task_id}:{teacher}:{index}"


@dataclass(frozen=True, slots=True)
class Budget:
    """Hard limits of what a teacher may spend; None is no limit."""

    calls: int | None = None
    tokens: int | None = None
    usd: float | None = None


@dataclass(frozen=True, slots=True)
class Spend:
    """What was spent, or is at most about to be."""

    calls: int = 0
    tokens: int = 0
    usd: float = 0.0

    def plus(self, other: Spend, sign: int = 1) -> Spend:
        """This spend with another added, or taken away with `sign` -1."""
        return Spend(
            self.calls + sign * other.calls,
            self.tokens + sign * other.tokens,
            self.usd + sign * other.usd,
        )


@dataclass(frozen=True, slots=True)
class Price:
    """What a million tokens cost in US dollars; all 0 where no price is known."""

    prompt: float = 0.0
    completion: float = 0.0

    @property
    def known(self) -> bool:
        """Whether any price was set."""
        return self.prompt > 0 or self.completion > 0

    def of(self, prompt_tokens: int, completion_tokens: int) -> float:
        """The cost of one call."""
        return (prompt_tokens * self.prompt + completion_tokens * self.completion) / 1e6


class Purse:
    """Keeps a budget under concurrent calls: the worst case is set aside before each one."""

    def __init__(self, budget: Budget | None = None) -> None:
        self.budget = budget or Budget()
        self.refused = ""  # the limit that refused the newest cost; "" if it was afforded
        self._held = Spend()
        self._spent = Spend()
        self._lock = threading.Lock()

    @property
    def spent(self) -> Spend:
        """What finished calls have cost."""
        return self._spent

    def reserve(self, worst: Spend) -> None:
        """Set the most that a call can cost aside; raises `BudgetExhausted` if it is too much."""
        with self._lock:
            total = self._spent.plus(self._held).plus(worst)
            for limit in ("calls", "tokens", "usd"):
                allowed = getattr(self.budget, limit)
                if allowed is not None and getattr(total, limit) > allowed:
                    self.refused = limit
                    raise BudgetExhausted(limit, allowed)
            self.refused = ""
            self._held = self._held.plus(worst)

    def settle(self, worst: Spend, actual: Spend) -> None:
        """Give back what was set aside and book what the call really cost."""
        with self._lock:
            self._held = self._held.plus(worst, -1)
            self._spent = self._spent.plus(actual)

    def book(self, cost: Spend) -> None:
        """Book what was paid before this purse was opened, even if it is more than allowed."""
        self.settle(Spend(), cost)

    def pay(self, cost: Spend) -> None:
        """Book a cost that is known beforehand; raises `BudgetExhausted` if it is too much."""
        self.reserve(cost)
        self.settle(cost, cost)

"""What every rung of the ladder is: it looks at cold tasks and says what help they get.

A rung decides; it neither samples nor trains. What it decides comes back as `Help`, which
the climb carries out and books in the ledger. What it needs to know of the past is in
`Cold`, read from the ledger: a rung keeps nothing, so a resumed run decides the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple, Protocol

from toprope.harness.turns.stream import Laid
from toprope.ledger.diagnosis import Diagnosis
from toprope.terms import Attempt, Mode, Task


class Use(NamedTuple):
    """A rung given before: its setting, and how many of its helped draws passed."""

    rung: str
    setting: str = ""
    passed: int = 0
    drawn: int = 0


@dataclass(frozen=True, slots=True)
class Cold:
    """A cold or parked task as a rung sees it.

    `diagnosis` is that of its newest plain draws, and `shares_differ` whether these passed
    unequal shares of the hidden tests. `uses` are the rungs given since it was found cold.
    """

    task: Task
    never_seeded: bool
    pilots: int  # re-pilots made so far
    last_look: int  # iteration of the last pilot, or of the cold test
    uses: tuple[Use, ...] = ()
    diagnosis: Diagnosis = Diagnosis.FAR
    shares_differ: bool = False

    def given(self, number: str) -> list[Use]:
        """Return the uses of one rung, oldest first."""
        return [use for use in self.uses if use.rung == number]


@dataclass(frozen=True, slots=True)
class Demonstration:
    """A verified attempt, as the action `N|line`, to be imitated in the student's dialect.

    With `ids` it is an answer that the student itself sampled, and these are its tokens. With
    `turns` it was done over turns, and this is all that followed the prompt `prompt_ids`.
    """

    task: Task
    action: str
    attempt_id: str
    teacher_tokens: int  # prompt and completion of every attempt it took, failures included
    ids: tuple[int, ...] = ()
    prompt_ids: tuple[int, ...] = ()
    turns: Laid | None = None


@dataclass(frozen=True, slots=True)
class Practice:
    """A group that a cold task is drawn and learned from, beside a plain one.

    `mode` says what help it gets: PLAIN none (`credit` or `distil` alone), HINTED the text `hint`,
    PREFIXED the first `keep` tokens of `action`, RETRIED its own failing attempt, TAKEN a teacher
    that takes `share` of the turns of failing attempts, to `action` where it knows one. With
    `credit` the plain group's rewards are shares of the hidden tests (rung 1), with `distil`
    its tokens are drawn towards a teacher's distributions (rung 7).
    """

    task: Task
    mode: Mode
    setting: str = ""
    hint: str = ""
    action: str = ""
    keep: int = 0
    share: Fraction = Fraction(0)
    credit: bool = False
    distil: bool = False
    attempt_id: str = ""


@dataclass(frozen=True, slots=True)
class Help:
    """What one rung does in one iteration."""

    rung: str
    pilots: tuple[Task, ...] = ()
    demonstrations: tuple[Demonstration, ...] = ()
    practice: tuple[Practice, ...] = ()
    attempts: tuple[Attempt, ...] = ()  # all that were asked of the teacher, for the books
    gave_up: tuple[str, ...] = ()  # tasks that this rung cannot help


class Rung(Protocol):
    """One way of helping. `needs` and `costs` are words for whoever reads about it."""

    number: str
    name: str
    needs: str
    costs: str

    def suits(self, cold: Cold) -> bool:
        """Return whether what it needs is there, by the task's diagnosis."""
        ...

    def gave_up(self, cold: Cold) -> bool:
        """Return whether it has done what it can for this task."""
        ...

    def help(self, cold: Sequence[Cold], *, iteration: int) -> Help | None:
        """Return what to do for these tasks now, or None when nothing is due or left to do."""
        ...

    def waiting(self, cold: Sequence[Cold]) -> bool:
        """Return whether this rung will change the policy once cheaper ones were tried."""
        ...


def in_turn(cold: Sequence[Cold], number: str, most: int) -> list[Cold]:
    """Return at most `most` tasks for a rung: those that it has begun with, then new ones.

    Among new ones, the first bug of every source function comes before any second.
    """
    begun = [c for c in cold if c.given(number)]
    fresh = [c for c in cold if not c.given(number)]
    return [*begun, *one_function_first(fresh)][:most]


def one_function_first(cold: Sequence[Cold]) -> list[Cold]:
    """Return the tasks, the first of every source function before any second."""
    seen: dict[str, int] = {}
    ranked = []
    for at, one in enumerate(cold):
        turn = seen.get(one.task.source.cluster, 0)
        seen[one.task.source.cluster] = turn + 1
        ranked.append((turn, at, one))
    return [one for _, _, one in sorted(ranked, key=lambda item: item[:2])]

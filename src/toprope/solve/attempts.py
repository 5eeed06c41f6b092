"""Attempts at a failing test, one after the other: answers drawn at once, or played over turns.

Each yields what a model asks to be changed. Nothing here judges it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from toprope.grading.suites import limits as suite_limits
from toprope.harness.turns import Answered, TurnDialect, TurnLimits, Unanswered, play
from toprope.harness.turns.play import Message
from toprope.sandbox.protocol import (
    NotAFile,
    Sandbox,
    SandboxError,
    SessionEnded,
    Start,
    TooMuchChanged,
)
from toprope.solve.budget import Budget
from toprope.solve.case import Brief
from toprope.solve.models import Drawer, Drawn, Talker
from toprope.teacher.openai import EndpointError
from toprope.terms import Task, Verdict

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Proposal:
    """What an attempt came to: `changes` (path to whole new text), or None and `why` not.

    `task` is what the model was shown, `text` its last words, `ignored` the paths that it
    changed although no attempt may: these changes do not count.
    """

    name: str
    task: Task
    text: str
    changes: Mapping[str, str] | None
    why: str = ""
    ignored: tuple[str, ...] = ()

    @property
    def real(self) -> dict[str, str]:
        """The changes without the files that were written as they were."""
        start = self.task.start()
        return {
            path: text for path, text in (self.changes or {}).items() if start.get(path) != text
        }


def drawn(drawer: Drawer, briefs: Sequence[Brief], budget: Budget, tell: Tell,
          ) -> Iterator[Proposal]:  # fmt: skip
    """Yield answers until a limit is met, in groups of `drawer.at_once` dealt over the suspects.

    The next group goes to the highest score / (groups given + 1), d'Hondt's rule: the more
    suspicious a function, the more often it has its turn.
    """
    given = [0] * len(briefs)
    while briefs and not budget.used_up:
        at = max(range(len(briefs)), key=lambda n: (briefs[n].score / (given[n] + 1), -n))
        brief = briefs[at]
        count = min(drawer.at_once, budget.limits.attempts - budget.attempts)
        place = f"{brief.task.focus.path}:{brief.task.focus.first} {brief.task.source.function}"
        tell(f"attempts {budget.attempts + 1} to {budget.attempts + count}: {place}")
        found = drawer.draw(brief.shown, given[at], count, budget.tokens_left)
        given[at] += 1
        for one in found:
            budget.spend(one.prompt_tokens, one.sampled_tokens)
        for one in found:
            budget.attempts += 1
            yield _read(one, f"attempt {budget.attempts}, {place}", brief)


def _read(one: Drawn, name: str, brief: Brief) -> Proposal:
    if isinstance(one.read, Verdict):
        return Proposal(name, brief.task, one.text, None, one.read.why)
    try:
        return Proposal(name, brief.task, one.text, brief.shorn.whole(one.read))
    except ValueError as fault:
        return Proposal(name, brief.task, one.text, None, str(fault))


def played(
    talker: Talker,
    task: Task,
    dialect: TurnDialect,
    sandbox: Sandbox,
    budget: Budget,
    tell: Tell,
) -> Iterator[Proposal]:
    """Yield attempts over turns, each in a session of its own, until a limit is met."""
    while not budget.used_up:
        budget.attempts += 1
        yield _play(talker, task, dialect, sandbox, budget, tell)


def _play(
    talker: Talker,
    task: Task,
    dialect: TurnDialect,
    sandbox: Sandbox,
    budget: Budget,
    tell: Tell,
) -> Proposal:
    assert task.suite
    name = f"attempt {budget.attempts}"
    turns = 0

    def ask(messages: Sequence[Message]) -> Answered:
        nonlocal turns
        turns += 1
        tell(f"{name}, turn {turns}")
        if turns > 1 and not budget.tokens_left:
            raise Unanswered("tokens")
        try:
            said = talker.say(messages, f"{name}/{turns}", budget.tokens_left)
        except EndpointError as fault:
            if turns == 1:
                raise
            raise Unanswered(str(fault)) from fault
        budget.spend(said.prompt_tokens, said.sampled_tokens)
        return Answered(said.text, said.sampled_tokens)

    most = TurnLimits(
        turns=budget.limits.turns, tokens=max(1, budget.tokens_left), seconds=budget.seconds_left
    )
    start = Start(
        name, task.files, task.tree, task.removed, task.suite.environment, suite_limits(task.suite)
    )
    try:
        with sandbox.open(start) as session:
            done = play(task, dialect, ask, session, most)
            ignored = tuple(sorted(set(session.changed()) - set(done.changes)))
    except (NotAFile, SandboxError, SessionEnded, TooMuchChanged) as fault:
        return Proposal(f"{name}, {turns} turns", task, "", None, str(fault))
    text = done.turns[-1].text if done.turns else ""
    label = f"{name}, {len(done.turns)} turns, {done.end}"
    if not done.changes:
        return Proposal(label, task, text, None, "it changed no file that may be changed", ignored)
    return Proposal(label, task, text, done.changes, ignored=ignored)

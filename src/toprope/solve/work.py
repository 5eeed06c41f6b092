"""Puts the model that was asked for to work: which one, in which form, on which functions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from toprope.harness.dialect import DIALECTS
from toprope.harness.turns import TURN_DIALECTS
from toprope.harness.turns.play import opening
from toprope.policy.load import Say
from toprope.sandbox.protocol import Sandbox
from toprope.solve.asked import Asked
from toprope.solve.attempts import Proposal, Tell, drawn, played
from toprope.solve.bench import Bench
from toprope.solve.budget import Budget
from toprope.solve.case import brief_of, full_task
from toprope.solve.failing import CannotBegin, Failing
from toprope.solve.models import Drawer, Talker
from toprope.solve.remote import Remote, open_endpoint
from toprope.solve.student import ChatModel, Student, find_student
from toprope.solve.suspects import Suspect

MOST_SUSPECTS = 8
_HERE = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Work:
    """A model at work: its proposals as they come, what they have used, what it is shown first."""

    proposals: Iterator[Proposal]
    budget: Budget
    dialect: str
    shown: str


@dataclass(frozen=True)
class Place:
    """Where there is work: a repository, its failing tests, the functions they point at."""

    bench: Bench
    failing: Failing
    suspects: Sequence[Suspect]
    sandbox: Sandbox


def begin(asked: Asked, place: Place, say: Say, tell: Tell) -> Work:
    """Return the model's work; nothing is asked of it before the first proposal is taken.

    Raises a `TopropeError` where the model or the endpoint cannot be used, and `CannotBegin`
    where no function can be shown to a model of one answer.
    """
    tell("opening the model")
    if asked.endpoint:
        dialect = asked.dialect or "blocks"
        remote = Remote(
            open_endpoint(asked.endpoint, asked.model_name, asked.limits.seconds),
            asked.drawn_at(),
            asked.seed,
            DIALECTS.get(dialect, DIALECTS["rewrite"]),
        )
        say(_leaving(asked, place.bench, f"{remote.endpoint.model}, dialect {dialect}"))
        if asked.turns:
            return _over_turns(remote, dialect, asked, place, tell)
        return _at_once(remote, asked, place, tell)
    found = find_student(asked.model, "" if asked.turns else asked.dialect, say)
    learnt = "" if asked.dialect else found.config.turns.dialect
    over_turns = asked.dialect if asked.turns else learnt
    dialect = over_turns or found.config.student.dialect
    say(f"{found.name}, dialect {dialect}; nothing leaves this machine")
    if over_turns:
        talker = ChatModel(found.folder, asked.drawn_at(), asked.seed)
        return _over_turns(talker, dialect, asked, place, tell)
    return _at_once(Student(found, asked.drawn_at(), asked.seed), asked, place, tell)


def _at_once(drawer: Drawer, asked: Asked, place: Place, tell: Tell) -> Work:
    if not place.suspects:
        raise CannotBegin(
            "the failing tests call no function of the code that a short answer could mend; "
            "a model over turns may look further: --dialect blocks"
        )
    chosen = place.suspects[:MOST_SUSPECTS]
    briefs = [brief_of(place.bench, place.failing, suspect) for suspect in chosen]
    talk = drawer.dialect.messages(briefs[0].shown)
    budget = Budget(asked.limits)
    return Work(
        drawn(drawer, briefs, budget, tell), budget, drawer.dialect.DIALECT,
        "\n".join(message["content"] for message in talk),
    )  # fmt: skip


def _over_turns(talker: Talker, dialect: str, asked: Asked, place: Place, tell: Tell) -> Work:
    task = full_task(place.bench, place.failing, place.suspects)
    budget = Budget(asked.limits)
    spelt = TURN_DIALECTS[dialect]
    proposals = played(talker, task, spelt, place.sandbox, budget, tell)
    return Work(proposals, budget, dialect, opening(task))


def _leaving(asked: Asked, bench: Bench, who: str) -> str:
    """What leaves this machine, in a sentence."""
    what = "what a failing test says and the code of the functions that it calls"
    if asked.turns:
        files = len(bench.repository.tree.files)
        what += f", and whatever the model looks at of the repository's {files} files"
    host = urlsplit(asked.endpoint).hostname or asked.endpoint
    where = "a server on this machine" if host in _HERE else host
    return f"{who}; to {where} go: {what}"

"""Grading while others are sampled moves time and nothing else, and ends when sampling fails."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

import pytest

from micro_world import ALPHABETS, make_tasks, make_tokenizer, short_settings
from sandbox_flaky import FlakySandbox
from toprope.climb.config import load_config
from toprope.climb.episodes.journal import Unkept
from toprope.climb.episodes.overlapping import overlaps
from toprope.climb.episodes.play import Plan, Player
from toprope.climb.meters import Meters, Shape
from toprope.climb.run import climb
from toprope.grading import Batch, Grader
from toprope.grading.grader import GradingFails
from toprope.harness.dialect import DIALECTS
from toprope.ledger.store import Ledger
from toprope.policy.asks import Work
from toprope.sandbox import Job, Result, Sandbox, open_sandbox
from toprope.sandbox.protocol import UnknownEnvironment
from toprope.terms import Completion, Episode, Outcome, Task, Verdict

TOKENIZER = make_tokenizer()
TASKS = make_tasks(train=3, dev=0, heldout=0)
PASSED = Verdict(Outcome.PASSED, 1.0, "")
Order = Callable[[list[Completion]], list[Completion]]


def solving(task: Task) -> int:
    """The draw that solves a task."""
    line = int(task.fail_to_pass[0][1:])
    return line * 8 + ALPHABETS[line].index(task.source.function[line])


PLANS = [
    plan
    for task in TASKS[:2]
    for plan in (
        Plan(task, "train", 3, first=8),  # the second is no action
        Plan(task, "alike", 1, first=32),
        Plan(task, "right", 1, first=solving(task)),
    )
]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with open_sandbox(workers=2) as opened:
        yield opened


class Kept:
    """A journal in memory, as durable as this process."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}

    def journal_get(self, keys: Any) -> dict[str, Any]:
        return {key: self.answers[key] for key in keys if key in self.answers}

    def journal_put(self, answers: Mapping[str, Any]) -> None:
        for key, answer in answers.items():
            self.answers.setdefault(key, answer)


class Scripted:
    """A sampler whose draws are known; `between` says what it tells of them, and when."""

    def __init__(self, between: Callable[[list[Completion], Any], None]) -> None:
        self.between, self.work = between, Work()

    def sample(self, asks: Any, *, ended: Any = None, **_: Any) -> list[Completion]:
        found = [said(name) for ask in asks for name in ask.episode_ids]
        if ended is not None:
            self.between(found, ended)
        return found


def said(name: str) -> Completion:
    """Draw n writes a line anew, in 24 ways; draw 9 is no action."""
    draw = int(name.rpartition("/")[2])
    line, letter = draw // 8 % 3, draw % 8
    text = f"{line + 1}|{ALPHABETS[line][letter]}" if draw != 9 else "?"
    ids = tuple(TOKENIZER.encode(text))
    return Completion(name, ids, (-0.5,) * len(ids), "stop")


def telling(order: Order) -> Scripted:
    def between(found: list[Completion], ended: Any) -> None:
        for one in order(found):
            ended(one)

    return Scripted(between)


def player(sandbox: Any, sampler: Any, journal: Any = None, *, overlap: bool = True) -> Player:
    return Player(
        DIALECTS["lines"], TOKENIZER, sampler, Grader(sandbox, retries=0), journal or Unkept(),
        Meters(), Shape(1, 1, 1, 1), overlap,
    )  # fmt: skip


def play(actor: Player, plans: Sequence[Plan] = PLANS) -> list[list[Episode]]:
    return actor.play(plans, iteration=1, version=0)


def no_thread_is_left() -> bool:
    return not any(thread.name.startswith("grader") for thread in threading.enumerate())


def test_in_whatever_order_episodes_end_they_and_the_journal_are_the_same(
    sandbox: Sandbox,
) -> None:
    orders: list[Order] = [lambda all_: all_, lambda all_: all_[::-1], lambda all_: all_[5::3]]
    afterwards, counting = Kept(), FlakySandbox(sandbox)
    expected = play(player(counting, telling(lambda all_: []), afterwards, overlap=False))
    outcomes = {e.verdict.outcome for group in expected for e in group}
    assert outcomes == {Outcome.PASSED, Outcome.FAILED, Outcome.MALFORMED}
    for order in orders:
        journal, again = Kept(), FlakySandbox(sandbox)
        assert play(player(again, telling(order), journal)) == expected
        assert journal.answers == afterwards.answers
        assert again.attempts == counting.attempts  # alike attempts run once, malformed ones never


def test_an_episode_is_graded_while_others_are_sampled(sandbox: Sandbox) -> None:
    journal = Kept()

    def between(found: list[Completion], ended: Any) -> None:
        until(lambda: ended(found[0]), journal)

    play(player(sandbox, Scripted(between), journal))


def until(tell: Callable[[], None], journal: Kept) -> None:
    """Tell of an episode until its grade was journalled."""
    deadline = time.monotonic() + 60
    while not journal.answers:
        tell()
        assert time.monotonic() < deadline, "nothing was graded meanwhile"


def test_a_sampler_that_fails_ends_grading_and_what_was_graded_is_not_graded_again(
    sandbox: Sandbox,
) -> None:
    journal, whole = Kept(), Kept()
    expected = play(player(sandbox, telling(lambda all_: []), whole, overlap=False))

    def between(found: list[Completion], ended: Any) -> None:
        until(lambda: ended(found[0]), journal)
        for one in found:
            ended(one)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        play(player(sandbox, Scripted(between), journal))
    assert no_thread_is_left()
    kept, counting = set(journal.answers), FlakySandbox(sandbox)
    assert kept <= set(whole.answers)
    assert play(player(counting, telling(lambda all_: all_), journal)) == expected
    assert journal.answers == whole.answers
    fresh = [value for key, value in journal.answers.items() if key not in kept]
    assert len(counting.attempts) <= len(fresh)
    nothing = FlakySandbox(sandbox)
    assert play(player(nothing, telling(lambda all_: all_), journal)) == expected
    assert not nothing.attempts


class Wrecked(FlakySandbox):
    """Fails as nothing mends that is tried again."""

    def run(self, job: Job) -> Result:
        raise UnknownEnvironment("no such environment")


def test_a_grader_that_fails_is_heard_and_leaves_no_thread(sandbox: Sandbox) -> None:
    with pytest.raises(UnknownEnvironment):
        play(player(Wrecked(sandbox), telling(lambda all_: all_)))
    assert no_thread_is_left()


def test_how_many_failed_in_a_row_does_not_depend_on_who_ended_first(sandbox: Sandbox) -> None:
    first, between, last = TASKS
    flaky = FlakySandbox(sandbox, permanent=(f"{first.id}@", f"{last.id}@"))
    plans = [Plan(first, "train", 9), Plan(between, "train", 1), Plan(last, "train", 8)]
    more = [Plan(first, "train", 4, first=10), Plan(last, "train", 11, first=10)]

    def but_one(found: list[Completion]) -> list[Completion]:
        """All that fail are told of at once, one after the other."""
        return [one for one in found if between.id not in one.episode_id]

    for order in (but_one, list):
        actor = player(flaky, telling(order))
        play(actor, [*plans, Plan(last, "more", 4, first=14)])
        with pytest.raises(GradingFails):
            play(actor, more)
    assert no_thread_is_left()


def test_a_closed_batch_begins_nothing_and_tells_of_what_ends_a_run() -> None:
    begun: list[str] = []
    told: list[bool] = []  # that it is over
    running = threading.Event()

    def judge(task: Task, changes: Mapping[str, str], over: threading.Event) -> Verdict:
        begun.append(changes["program.txt"])
        running.set()
        told.append(over.wait(20))
        raise CancelledError

    batch = Batch(judge, 1, {})
    keys = [batch.add(TASKS[0], {"program.txt": text}) for text in "abc"]
    assert len(set(keys)) == 3
    assert running.wait(60)
    batch.close()
    assert (begun, told) == (["a"], [True])
    assert no_thread_is_left()


@pytest.mark.parametrize(("error", "early"), [(GradingFails("none"), True), (MemoryError(), False)])
def test_only_what_ends_the_run_anyway_is_raised_into_the_sampler(
    error: Exception, early: bool
) -> None:
    def judge(task: Task, changes: Mapping[str, str], over: threading.Event) -> Verdict:
        raise error

    batch = Batch(judge, 1, {"known": PASSED})
    key = batch.add(TASKS[0], {"program.txt": "a"})
    with pytest.raises(type(error)):
        batch.wait([key])
    if early:
        with pytest.raises(type(error)):
            batch.add(TASKS[0], {"program.txt": "b"})
    else:
        batch.add(TASKS[0], {"program.txt": "b"})
    batch.close()


def test_grading_overlaps_by_itself_where_cores_are_idle() -> None:
    here, served = (
        load_config("default", []),
        load_config("default", ['student.sampler="vllm"', 'student.endpoint="http://127.0.0.1:1"']),
    )
    assert not overlaps(here, 2, 2)
    assert not overlaps(here, 2, 3)  # two graders
    assert overlaps(here, 2, 4)
    assert overlaps(served, 2, 2)
    assert overlaps(load_config("default", ['limits.overlap="on"']), 2, 2)
    assert not overlaps(load_config("default", ['limits.overlap="off"']), 2, 8)


@pytest.mark.slow
def test_a_climb_that_overlaps_comes_to_the_same_bits(
    micro_tasks: Path, micro_student: Path, sandbox: Sandbox, tmp_path: Path
) -> None:
    left = []
    for how in ("on", "off"):
        config = short_settings(micro_tasks, micro_student, f'limits.overlap="{how}"')
        climb(config, tmp_path / how, sandbox=sandbox)
        with Ledger.open(tmp_path / how) as ledger:
            left.append((ledger.digest(), ledger.journal.under("")))
    assert left[0] == left[1]

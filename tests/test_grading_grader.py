"""Many attempts at once: order, sharing, and the difference between our faults and theirs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from grading_tasks import BAD, GOOD, median_task
from sandbox_flaky import FlakySandbox
from toprope.grading import Grader
from toprope.grading.grader import GradingFails
from toprope.grading.verdict import attempt_key
from toprope.sandbox import Sandbox, WorkerDied, open_sandbox
from toprope.terms import Outcome, Task


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    opened = open_sandbox(workers=2)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def task(sandbox: Sandbox) -> Task:
    return median_task(sandbox)


def items(task: Task, count: int) -> list[tuple[str, Task, dict[str, str]]]:
    texts = [GOOD, BAD, "def median(", "def median(v): return v"]
    return [
        (f"episode-{number}", task, {"stats.py": f"{texts[number % 4]}\n# {number}\n"})
        for number in range(count)
    ]


def test_verdicts_come_in_the_order_of_the_attempts(task: Task, sandbox: Sandbox) -> None:
    verdicts = Grader(sandbox).grade_many(items(task, 12))
    assert [verdict.outcome for verdict in verdicts] == [
        Outcome.PASSED, Outcome.FAILED, Outcome.FAILED, Outcome.FAILED,
    ] * 3  # fmt: skip
    assert Grader(sandbox).grade_many([]) == []


def test_the_same_attempt_is_run_once(task: Task, sandbox: Sandbox) -> None:
    counting = FlakySandbox(sandbox)
    same = [(f"episode-{number}", task, {"stats.py": GOOD}) for number in range(8)]
    verdicts = Grader(counting).grade_many(same)
    assert len(verdicts) == 8
    assert sum(counting.attempts.values()) == 1


def test_recoverable_faults_in_15_percent_of_calls_change_nothing(
    task: Task, sandbox: Sandbox
) -> None:
    work = items(task, 60)
    flaky = FlakySandbox(sandbox, rate=0.15)
    assert Grader(flaky, retries=4).grade_many(work) == Grader(sandbox).grade_many(work)
    assert flaky.faults > 4


def test_permanent_faults_become_infra_and_touch_nothing_else(task: Task, sandbox: Sandbox) -> None:
    work = items(task, 8)
    doomed = attempt_key(task, work[2][2])
    flaky = FlakySandbox(sandbox, permanent=(doomed,))
    verdicts = Grader(flaky, retries=2).grade_many(work)
    assert verdicts[2].outcome is Outcome.INFRA
    assert verdicts[2].why.startswith("not graded after 3 tries: injected fault")
    assert flaky.attempts[doomed] == 3
    clean = Grader(sandbox).grade_many(work)
    assert verdicts[:2] + verdicts[3:] == clean[:2] + clean[3:]


def test_an_attempt_that_ends_the_worker_twice_has_failed(task: Task, sandbox: Sandbox) -> None:
    flaky = FlakySandbox(sandbox, permanent=("median@",), raises=WorkerDied)
    (verdict,) = Grader(flaky).grade_many(items(task, 1))
    assert (verdict.outcome, verdict.reward) == (Outcome.FAILED, 0.0)
    assert verdict.why == "ended the sandbox's worker twice"


def test_an_attempt_is_remembered_unless_a_fresh_look_is_asked_for(
    task: Task, sandbox: Sandbox
) -> None:
    counting = FlakySandbox(sandbox)
    grader = Grader(counting)
    first = grader.grade_many([("a", task, {"stats.py": GOOD})])
    assert grader.grade_many([("b", task, {"stats.py": GOOD})]) == first
    assert sum(counting.attempts.values()) == 1
    assert grader.grade_many([("c", task, {"stats.py": GOOD})], fresh=True) == first
    assert sum(counting.attempts.values()) == 2


def test_what_we_failed_to_judge_is_not_remembered(task: Task, sandbox: Sandbox) -> None:
    key = attempt_key(task, {"stats.py": GOOD})
    grader = Grader(FlakySandbox(sandbox, permanent=(key,), heals_after=1), retries=0)
    outcomes = [grader.grade_many([("a", task, {"stats.py": GOOD})])[0].outcome for _ in "12"]
    assert outcomes == [Outcome.INFRA, Outcome.PASSED]


def test_too_many_failures_of_ours_stop_whoever_asks(task: Task, sandbox: Sandbox) -> None:
    work = items(task, 100)
    doomed = tuple(attempt_key(task, changes) for _, _, changes in work[:31])
    with pytest.raises(GradingFails, match="31 of the last 100 attempts could not be judged"):
        Grader(FlakySandbox(sandbox, permanent=doomed), retries=0).grade_many(work)
    Grader(FlakySandbox(sandbox, permanent=doomed[:30]), retries=0).grade_many(work)


def test_when_nothing_can_be_judged_it_does_not_wait_for_a_hundred(
    task: Task, sandbox: Sandbox
) -> None:
    other = replace(task, id="other")
    both = [*items(task, 19), *items(other, 1)]
    nothing = FlakySandbox(sandbox, permanent=("median@", "other@"))
    with pytest.raises(GradingFails, match="20 of the last 20 attempts could not be judged"):
        Grader(nothing, retries=0).grade_many(both)
    outcomes = {v.outcome for v in Grader(nothing, retries=0).grade_many(items(task, 30))}
    assert outcomes == {Outcome.INFRA}, "one task's attempts may all be lost"
    but_one = FlakySandbox(sandbox, permanent=("median@",))
    assert len(Grader(but_one, retries=0).grade_many(both)) == 20

"""A live teacher's answers outlive its process: none is asked for, or paid, a second time."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from grading_tasks import BAD, GOOD, median_task
from teacher_parts import chat_server, fenced
from toprope.climb.episodes.journal import TeacherAnswers
from toprope.grading import Grader
from toprope.harness.lines import express
from toprope.ledger.store import Ledger
from toprope.sandbox import Sandbox, open_sandbox
from toprope.teacher import Budget, BudgetExhausted, Price
from toprope.teacher.live import LiveTeacher
from toprope.teacher.openai import Endpoint
from toprope.teacher.protocol import Kept
from toprope.terms import Outcome, Task

FAILED, PASSED = Outcome.FAILED, Outcome.PASSED


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    box = open_sandbox()
    yield box
    box.close()


@pytest.fixture(scope="module")
def task(sandbox: Sandbox) -> Task:
    return median_task(sandbox)


def tutor(body: dict[str, Any]) -> str:
    """Solves what it is asked with a temperature, and nothing greedily."""
    return fenced(GOOD if body["temperature"] > 0 else BAD)


def process(url: str, sandbox: Sandbox, kept: Kept, calls: int | None = None) -> LiveTeacher:
    """The teacher as a process opens it."""
    teacher = LiveTeacher(
        Endpoint(url, tries=1),
        "tutor",
        grader=Grader(sandbox),
        express=express,
        budget=Budget(calls=calls),
        price=Price(1.0, 2.0),
    )
    teacher.keep_in(kept)
    return teacher


def answers(kept: dict[str, Any]) -> int:
    return sum("answer" in value for value in kept.values())


def test_what_was_answered_before_a_kill_is_not_asked_again(
    task: Task, sandbox: Sandbox, tmp_path: Path
) -> None:
    with chat_server(tutor) as server:
        with Ledger.open(tmp_path / "ledger.sqlite", create=True) as ledger:
            first = process(server.url, sandbox, TeacherAnswers(ledger.journal))
            given = first.attempts(task, 2)  # and nothing is committed
            ledger.journal_put({"train/1/median/0:ab": "a grade", "zeta": "of no teacher"})
        with Ledger.open(tmp_path) as ledger:
            second = process(server.url, sandbox, TeacherAnswers(ledger.journal))
            assert second.purse.spent.calls == 2
            assert second.attempts(task, 2) == given
            assert [attempt.outcome for attempt in given] == [FAILED, PASSED]
            assert len(server.asked) == 2
            assert len(second.attempts(task, 3)) == 3
    assert len(server.asked) == 3


def test_each_answer_is_kept_as_it_lands_though_another_question_fails(
    task: Task, sandbox: Sandbox
) -> None:
    kept: dict[str, Any] = {}
    with chat_server(tutor, ["", "404"]) as server:
        first = process(server.url, sandbox, kept)
        given = first.attempts(task, 2)
        lost = [attempt.outcome is Outcome.INFRA for attempt in given]
        assert sorted(lost) == [False, True]  # whichever of the two came second
        assert answers(kept) == 1
        assert len(process(server.url, sandbox, kept).attempts(task, 2)) == 2
    assert len(server.asked) == 3


def test_another_question_is_asked_anew(task: Task, sandbox: Sandbox) -> None:
    kept: dict[str, Any] = {}
    with chat_server(tutor) as server:
        process(server.url, sandbox, kept).attempts(task, 1)
        other = dataclasses.replace(task, statement="median is wrong, said otherwise")
        process(server.url, sandbox, kept).attempts(other, 1)
    assert len(server.asked) == answers(kept) == 2


def test_a_budget_holds_over_all_the_processes_of_a_run(task: Task, sandbox: Sandbox) -> None:
    kept: dict[str, Any] = {}
    with chat_server(tutor) as server:
        process(server.url, sandbox, kept, calls=3).attempts(task, 2)
        second = process(server.url, sandbox, kept, calls=3)
        assert second.purse.spent.calls == 2
        assert second.purse.spent.usd == pytest.approx(2 * (30 + 2 * 12) / 1e6)
        assert len(second.attempts(task, 4)) == 3  # two are known, one can be afforded
        assert second.purse.spent.calls == 3
        third = process(server.url, sandbox, kept, calls=3)
        assert len(third.attempts(task, 4)) == 3
        with pytest.raises(BudgetExhausted):
            third.attempts(task, 1, start=3)
    assert len(server.asked) == 3

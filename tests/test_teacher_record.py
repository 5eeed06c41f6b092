"""Recording, resuming, replaying: every attempt is kept, judged the same, and paid once."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from grading_tasks import BAD, GOOD, median_task
from teacher_parts import chat_server, fenced
from toprope.grading import Grader
from toprope.harness.lines import express
from toprope.sandbox import Sandbox, open_sandbox
from toprope.teacher import Budget, BudgetExhausted, Price, TeacherError, open_teacher
from toprope.teacher.answers import AnswerBank
from toprope.teacher.live import LiveTeacher
from toprope.teacher.openai import Endpoint
from toprope.teacher.protocol import Spend
from toprope.teacher.record import Progress, Work, record
from toprope.teacher.recorded import RecordedTeacher
from toprope.teacher.reference import ReferenceTeacher
from toprope.teacher.rows import (
    Header,
    Recorder,
    RecordingError,
    read_recording,
    write_recording,
)
from toprope.teacher.verify import verify
from toprope.terms import Outcome, Task

HEADER = Header("tutor", "tutor-1b", "Apache-2.0", "build-7", "abc123", "small", "0" * 64)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    box = open_sandbox()
    yield box
    box.close()


@pytest.fixture(scope="module")
def tasks(sandbox: Sandbox) -> list[Task]:
    task = median_task(sandbox)
    return [
        dataclasses.replace(task, id=name, statement=f"median is wrong ({name})")
        for name in ("easy", "hard", "never")
    ]


def tutor(body: dict[str, Any]) -> str:
    """Solves `easy` greedily and `hard` only when it is drawn."""
    question = body["messages"][-1]["content"]
    solves = "(easy)" in question or ("(hard)" in question and body["temperature"] > 0)
    return fenced(GOOD if solves else BAD)


def run(
    url: str, out: Path, tasks: list[Task], sandbox: Sandbox, bank: AnswerBank | None = None
) -> Progress:
    recorder = Recorder(out, HEADER)
    try:
        endpoint = Endpoint(url, tries=1) if url else None
        grader = Grader(sandbox)
        work = Work("tutor", tasks, 2, True, bank or AnswerBank(), grader, express, endpoint, 2)
        return record(work, recorder)
    finally:
        recorder.close()


def test_breadth_first_failures_kept_and_solved_tasks_asked_no_more(
    tmp_path: Path, tasks: list[Task], sandbox: Sandbox
) -> None:
    with chat_server(tutor) as server:
        counts = run(server.url, tmp_path / "a.jsonl", tasks, sandbox)
    rows = read_recording(tmp_path / "a.jsonl").rows
    outcomes = {(row.task_id, row.index): row.outcome for row in rows}
    assert outcomes == {
        ("easy", 0): Outcome.PASSED,
        ("hard", 0): Outcome.FAILED,
        ("never", 0): Outcome.FAILED,
        ("hard", 1): Outcome.PASSED,
        ("never", 1): Outcome.FAILED,
    }
    assert [row.index for row in rows] == [0, 0, 0, 1, 1]
    assert (counts.attempts, counts.passed, counts.expressed, counts.solved) == (5, 2, 2, 2)
    assert counts.tokens == 5 * 42
    assert all(row.text and row.sampling["max_tokens"] == 400 for row in rows)
    assert all("expect" not in json.dumps(row.messages) for row in rows)


def test_a_killed_recording_goes_on_where_it_was(
    tmp_path: Path, tasks: list[Task], sandbox: Sandbox
) -> None:
    out = tmp_path / "a.jsonl"
    with (
        chat_server(tutor, ["", "", "404"]) as server,
        pytest.raises(TeacherError, match="404"),
    ):
        run(server.url, out, tasks, sandbox)
    kept = read_recording(out).rows
    assert 1 <= len(kept) < 5
    with out.open("ab") as file:
        file.write(b'{"kind": "attempt", "id": "torn')
    with chat_server(tutor) as server:
        run(server.url, out, tasks, sandbox)
    rows = read_recording(out).rows
    assert len({row.id for row in rows}) == len(rows) == 5
    assert len(server.asked) == 5 - len(kept)
    with chat_server(tutor) as server:
        run(server.url, out, tasks, sandbox)
    assert server.asked == []


def test_raw_answers_are_judged_without_asking_even_under_new_task_ids(
    tmp_path: Path, tasks: list[Task], sandbox: Sandbox
) -> None:
    with chat_server(tutor) as server:
        run(server.url, tmp_path / "a.jsonl", tasks, sandbox)
    raw = tmp_path / "raw.jsonl"
    raw.write_text(
        "".join(
            json.dumps(
                {
                    "task_id": "forgotten",
                    "index": row.index,
                    "messages": row.messages,
                    "text": row.text,
                    "usage": {"prompt_tokens": 30, "completion_tokens": 12},
                    "settings": dict(row.sampling),
                }
            )
            + "\n"
            for row in read_recording(tmp_path / "a.jsonl").rows
        )
    )
    bank = AnswerBank()
    bank.put_raw(raw)
    renamed = [dataclasses.replace(task, id=f"new-{task.id}") for task in tasks]
    counts = run("", tmp_path / "b.jsonl", renamed, sandbox, bank)
    assert (counts.attempts, counts.solved) == (5, 2)
    assert {row.task_id for row in read_recording(tmp_path / "b.jsonl").rows} == {
        "new-easy", "new-hard", "new-never",
    }  # fmt: skip


def test_another_teacher_does_not_write_into_the_same_file(tmp_path: Path) -> None:
    Recorder(tmp_path / "a.jsonl", HEADER).close()
    with pytest.raises(RecordingError, match="another teacher"):
        Recorder(tmp_path / "a.jsonl", dataclasses.replace(HEADER, gguf_sha256="def"))


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory, tasks: list[Task], sandbox: Sandbox) -> Path:
    folder = tmp_path_factory.mktemp("recording")
    with chat_server(tutor) as server:
        run(server.url, folder / "a.jsonl", tasks, sandbox)
    write_recording(read_recording(folder / "a.jsonl"), folder / "a.jsonl.xz")
    return folder / "a.jsonl.xz"


def test_the_recorded_teacher_repeats_itself_and_is_paid_once(
    recorded: Path, tasks: list[Task]
) -> None:
    teacher = RecordedTeacher(read_recording(recorded), price=Price(1.0, 2.0))
    hard = tasks[1]
    first = teacher.attempts(hard, 4)
    assert [attempt.outcome for attempt in first] == [Outcome.FAILED, Outcome.PASSED]
    assert first[1].action is not None
    assert teacher.attempts(hard, 1, start=1) == first[1:]
    assert teacher.purse.spent.tokens == 2 * 42
    assert teacher.purse.spent.usd == pytest.approx(2 * (30 + 2 * 12) / 1e6)
    assert teacher.attempts(hard, 1, start=2) == []
    assert not teacher.answer_key


def test_how_often_the_teacher_passed_is_known_without_spending(recorded, tasks):
    teacher = RecordedTeacher.open(recorded, budget=Budget(tokens=1))
    known = teacher.known(tasks)
    assert known == {
        task.id: (
            sum(a.outcome is Outcome.PASSED for a in found),
            len(found),
        )
        for task in tasks
        if (found := RecordedTeacher.open(recorded).attempts(task, 99))
    }
    assert known
    assert teacher.purse.spent.calls == 0
    changed = [dataclasses.replace(task, statement=task.statement + "!") for task in tasks]
    assert teacher.known(changed) == {}


def test_a_task_that_reads_differently_has_no_recorded_attempts(
    recorded: Path, tasks: list[Task]
) -> None:
    teacher = RecordedTeacher.open(recorded)
    assert teacher.attempts(dataclasses.replace(tasks[0], statement="another"), 1) == []


def test_a_budget_is_hard_and_has_its_name(recorded: Path, tasks: list[Task]) -> None:
    teacher = RecordedTeacher.open(recorded, budget=Budget(tokens=2 * 42))
    assert len(teacher.attempts(tasks[0], 1)) == 1
    assert len(teacher.attempts(tasks[1], 2)) == 1
    with pytest.raises(BudgetExhausted, match="84 tokens") as ended:
        teacher.attempts(tasks[2], 1)
    assert ended.value.limit == "tokens"
    assert len(teacher.attempts(tasks[0], 1)) == 1  # what was paid stays


def test_a_budget_holds_over_the_sittings_of_a_run(recorded: Path, tasks: list[Task]) -> None:
    budget = Budget(tokens=2 * 42)
    (first,) = RecordedTeacher.open(recorded, budget=budget).attempts(tasks[0], 1)
    later = RecordedTeacher.open(recorded, budget=budget)
    later.remember({first.id: Spend(1, 42), "of a dev task": Spend(1, 42)})
    assert later.attempts(tasks[0], 1) == [first]  # paid before
    with pytest.raises(BudgetExhausted, match="84 tokens"):
        later.attempts(tasks[1], 1)


def test_a_live_budget_is_never_overdrawn_and_answers_are_kept(
    tasks: list[Task], sandbox: Sandbox
) -> None:
    with chat_server(tutor) as server:
        teacher = LiveTeacher(
            Endpoint(server.url),
            "tutor",
            grader=Grader(sandbox),
            express=express,
            budget=Budget(calls=3),
        )
        got = teacher.attempts(tasks[1], 2)
        assert [attempt.outcome for attempt in got] == [Outcome.FAILED, Outcome.PASSED]
        assert teacher.attempts(tasks[1], 2) == got
        assert len(teacher.attempts(tasks[0], 4)) == 1
        with pytest.raises(BudgetExhausted):
            teacher.attempts(tasks[2], 1)
    assert len(server.asked) == 3


def test_verify_agrees_with_what_was_recorded_and_catches_what_was_changed(
    recorded: Path, tasks: list[Task], sandbox: Sandbox
) -> None:
    recording = read_recording(recorded)
    grader = Grader(sandbox)
    with chat_server(tutor) as server:
        checked = verify(recording, tasks, grader, express, sample=0, endpoint=Endpoint(server.url))
    assert (checked.rows, checked.differ, checked.absent) == (5, [], 0)
    assert (checked.asked, checked.same_text, checked.same_outcome) == (5, 5, 5)
    assert sorted(body["seed"] for body in server.asked) == sorted(
        row.sampling["seed"] for row in recording.rows
    )
    lie = dataclasses.replace(recording.rows[1], outcome=Outcome.PASSED, action="1|pass")
    forged = dataclasses.replace(recording, rows=(lie,))
    assert len(verify(forged, tasks, grader, express, sample=0).differ) == 1
    assert verify(recording, tasks[:1], grader, express, sample=0).absent == 4


def test_the_reference_is_an_answer_key_and_gives_one_attempt(tasks: list[Task]) -> None:
    teacher = ReferenceTeacher(express)
    attempts = teacher.attempts(tasks[0], 4)
    assert teacher.answer_key
    assert [a.action for a in attempts] == ["7|    return (ordered[half - 1] + ordered[half]) / 2"]
    assert teacher.attempts(tasks[0], 1, start=1) == []


def test_teachers_are_opened_by_kind(recorded: Path) -> None:
    assert open_teacher("none") is None
    opened = open_teacher("recorded", recording=str(recorded))
    assert opened is not None
    assert opened.name == "tutor"
    with chat_server(tutor) as server:
        live = open_teacher("openai", endpoint=Endpoint(server.url))
    assert live is not None
    assert (live.name, live.parameters) == ("tutor-1b", 1_000_000)
    with pytest.raises(TeacherError, match="endpoint"):
        open_teacher("openai")
    with pytest.raises(TeacherError, match="oracle"):
        open_teacher("oracle")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no header"),
        ('{"kind": "attempt"}\n', "no header"),
        ('{"kind": "header", "format": 99}\n', "another format"),
        ("{\n", "not valid JSON"),
    ],
)
def test_a_broken_recording_says_what_is_wrong(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "a.jsonl").write_text(text)
    with pytest.raises(RecordingError, match=why):
        read_recording(tmp_path / "a.jsonl")
    with pytest.raises(RecordingError, match="teacher record"):
        read_recording(tmp_path / "none.jsonl")

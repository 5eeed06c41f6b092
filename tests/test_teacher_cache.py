"""What one run paid for, no other run pays for again: the cache, the dataset, the budgets."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from faulty_server import Faulty, faulty_server
from grading_tasks import BAD, GOOD, median_task
from teacher_parts import fenced
from toprope.cli.main import OK, main
from toprope.grading import Grader
from toprope.harness.lines import express
from toprope.sandbox import Sandbox, open_sandbox
from toprope.tasks import save_taskset
from toprope.teacher import Budget, BudgetExhausted, Price
from toprope.teacher.cache import AttemptCache
from toprope.teacher.live import LiveTeacher
from toprope.teacher.openai import Endpoint
from toprope.terms import Outcome, Split, Task

PRICE = Price(1.0, 2.0)
PAID = (30 * 1.0 + 12 * 2.0) / 1e6


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    box = open_sandbox(workers=1)
    yield box
    box.close()


@pytest.fixture(scope="module")
def task(sandbox: Sandbox) -> Task:
    return median_task(sandbox)


def tutor(body: dict[str, Any]) -> str:
    """Solves what it is asked with a temperature, and nothing greedily."""
    return fenced(GOOD if body["temperature"] > 0 else BAD)


def a_run(
    server: Faulty,
    sandbox: Sandbox,
    path: Path | None,
    *,
    kept: dict[str, Any] | None = None,
    said: list[str] | None = None,
    **settings: Any,
) -> LiveTeacher:
    """The teacher as a run of its own opens it."""
    say = (said if said is not None else []).append
    endpoint = Endpoint(server.url, tries=2, total_s=60, sleep=lambda seconds: None)
    teacher = LiveTeacher(
        endpoint, "tutor", grader=Grader(sandbox), express=express, price=PRICE,
        cache=AttemptCache(path, say) if path else None, **settings,
    )  # fmt: skip
    teacher.keep_in(kept if kept is not None else {})
    return teacher


def test_a_second_run_gets_the_same_attempts_and_pays_nothing(
    task: Task, sandbox: Sandbox, tmp_path: Path
) -> None:
    path = tmp_path / "a.sqlite"
    with faulty_server(tutor) as server:
        first = a_run(server, sandbox, path).attempts(task, 2)
        second = a_run(server, sandbox, path, budget=Budget(calls=0))
        renamed = replace(task, id="by-another-name", split=Split.DEV)
        again, other = second.attempts(task, 2), second.attempts(renamed, 2)
    assert len(server.asked) == 2
    assert [a.outcome for a in first] == [Outcome.FAILED, Outcome.PASSED]
    assert [a.cost_usd for a in first] == pytest.approx([PAID, PAID])
    assert again == [replace(a, cost_usd=0.0, cached=True) for a in first]
    assert [a.action for a in other] == [a.action for a in first]
    assert [a.prompt_tokens for a in again] == [30, 30]  # teacher tokens all the same
    assert (second.purse.spent.calls, second.purse.spent.usd) == (0, 0.0)
    rows = AttemptCache(path).all()
    assert {(row.outcome, row.reused, row.split) for row in rows} == {
        ("failed", 2, "dev"), ("passed", 2, "dev"),
    }  # fmt: skip


def test_another_question_model_setting_or_grader_is_not_the_same(
    task: Task, sandbox: Sandbox, tmp_path: Path
) -> None:
    path = tmp_path / "a.sqlite"
    with faulty_server(tutor) as server:
        a_run(server, sandbox, path).attempts(task, 1)
        a_run(server, sandbox, path).attempts(replace(task, statement="said otherwise"), 1)
        a_run(server, sandbox, path).attempts(replace(task, calls=task.calls[:-1]), 1)
        a_run(server, sandbox, path, identity={"model": "other"}).attempts(task, 1)
        a_run(server, sandbox, path, answer_tokens=50).attempts(task, 1)
    assert len(server.asked) == 5


def test_runs_at_the_same_time_ask_once(task: Task, sandbox: Sandbox, tmp_path: Path) -> None:
    path, runs, given = tmp_path / "a.sqlite", 4, list[str]()
    asked = threading.Event()

    def slow(body: dict[str, Any]) -> str:
        asked.wait(0.3)  # long enough for the others to find the claim, whoever is first
        return tutor(body)

    with faulty_server(slow) as server:
        teachers = [a_run(server, sandbox, path) for _ in range(runs)]
        threads = [
            threading.Thread(target=lambda t=t: given.append(t.attempts(task, 1, start=1)[0].text))
            for t in teachers
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(server.asked) == 1
    assert given == [fenced(GOOD)] * runs
    assert sum(teacher.purse.spent.calls for teacher in teachers) == 1


@pytest.mark.parametrize("harm", ["no database", "middle", "row"])
def test_a_broken_cache_is_named_set_aside_and_done_without(
    harm: str, task: Task, sandbox: Sandbox, tmp_path: Path
) -> None:
    path, said = tmp_path / "a.sqlite", list[str]()
    with faulty_server(tutor) as server:
        teacher = a_run(server, sandbox, path)
        teacher.attempts(task, 1)
        cache = teacher._cache
        assert cache is not None
        if harm == "row":
            db = cache._db
            assert db is not None
            db.execute("UPDATE attempts SET answer = '{'")
        cache.close()
        if harm == "no database":
            path.write_text("not a database, whatever its name says " * 99)
        if harm == "middle":
            data = bytearray(path.read_bytes())
            data[100:] = b"\x5a" * (len(data) - 100)
            path.write_bytes(data)
        given = a_run(server, sandbox, path, said=said).attempts(task, 1)
    assert [a.outcome for a in given] == [Outcome.FAILED]
    assert len(server.asked) == 2
    if harm != "row":
        (line,) = said
        assert "it is set aside as" in line
        assert len(list(tmp_path.glob("a.sqlite.broken-*"))) == 1
        assert len(AttemptCache(path).all()) == 1


def test_a_cache_that_cannot_be_written_is_said_once_and_done_without(
    task: Task, sandbox: Sandbox, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    said: list[str] = []
    with faulty_server(tutor) as server:
        teacher = a_run(server, sandbox, tmp_path / "file" / "a.sqlite", said=said)
        assert len(teacher.attempts(task, 2)) == 2
    (line,) = said
    assert "is not used" in line


def test_no_limit_is_passed_whatever_goes_wrong(task: Task, sandbox: Sandbox) -> None:
    faults = ["cut", "", "no_fields", "500", "reset"]
    with faulty_server(tutor, lambda number: faults[number % 5]) as server:
        for limit in (Budget(calls=3), Budget(tokens=2500), Budget(usd=0.004)):
            kept: dict[str, Any] = {}
            for _ in range(4):  # four sittings of one run
                teacher = a_run(server, sandbox, None, kept=kept, budget=limit)
                for start in range(6):
                    try:
                        teacher.attempts(task, 1, start=start)
                    except BudgetExhausted:
                        assert teacher.ended == "budget"
            spent = teacher.purse.spent
            assert 0 < spent.calls <= (limit.calls or 99)
            assert spent.tokens <= (limit.tokens or 10**9)
            assert spent.usd <= (limit.usd or 99)


def test_a_call_that_a_kill_cut_off_counts_at_its_worst(task: Task, sandbox: Sandbox) -> None:
    kept: dict[str, Any] = {}
    with faulty_server(tutor) as server:
        a_run(server, sandbox, None, kept=kept).attempts(task, 1)
        for key in [key for key in kept if key.endswith(":paid")]:
            del kept[key]
        spent = a_run(server, sandbox, None, kept=kept).purse.spent
    assert spent.calls == 1
    assert spent.tokens > 400 + 42
    assert spent.usd > PAID


def test_an_endpoint_that_is_gone_is_left_alone(task: Task, sandbox: Sandbox) -> None:
    with faulty_server(fault=lambda number: "500") as server:
        teacher = a_run(server, sandbox, None)
        given = [a for start in range(8) for a in teacher.attempts(task, 1, start=start)]
        assert [a.outcome for a in given] == [Outcome.INFRA] * 3
        assert len(server.asked) == 6  # three questions, two tries each
        assert teacher.ended == "unreachable"


def test_answers_that_attack_or_mean_nothing_are_attempts_that_failed(
    task: Task, sandbox: Sandbox
) -> None:
    head = "def median(values):\n"
    hostile = [
        head + "    import os\n    os._exit(0)",
        head + "    import sys\n    sys.stdout.write('1 passed')\n    raise SystemExit(0)",
        head + "    return " + "(" * 5000,
        head + "    return " + "-" * 5000 + "1",
        head + "    pass\n" + "x = (\n" * 5000,
        "\x1b]0;owned\x07\x00 no code at all",
        "a" * 3_000_000,
        "```python\n" * 3000,
    ]
    with faulty_server(lambda body: hostile.pop(0)) as server:
        count = len(hostile)
        given = a_run(server, sandbox, None).attempts(task, count)
        assert len(given) == count
        assert {a.outcome for a in given}.isdisjoint({Outcome.PASSED, Outcome.INFRA})
        server.answer = tutor
        assert a_run(server, sandbox, None).attempts(task, 1, start=1)[0].outcome is Outcome.PASSED


def test_the_cache_is_told_and_exported_without_what_is_guarded(
    task: Task,
    sandbox: Sandbox,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("TOPROPE_CACHE", str(tmp_path))
    path, out = tmp_path / "teacher" / "attempts.sqlite", tmp_path / "sft.jsonl"
    held = replace(task, id="held", split=Split.HELDOUT, statement="median is wrong (held)")
    twin = replace(task, id="twin", statement="median is wrong (twin)")
    save_taskset([replace(twin, split=Split.DEV)], tmp_path / "other.jsonl", "other")
    with faulty_server(tutor) as server:
        teacher = a_run(server, sandbox, path)
        teacher.attempts(task, 3)  # one fails, two pass alike
        teacher.attempts(held, 1, start=1)
        teacher.attempts(twin, 1, start=1)
        a_run(server, sandbox, path).attempts(task, 3)
    command(["cache"])
    told = capsys.readouterr().out
    assert "tutor: 3 tasks, 5 attempts, 4 verified, 210 tokens, reused 3 times" in told
    assert f"${5 * PAID:.4f} paid, ${3 * PAID:.4f} saved" in told
    command(["export", "--sft", str(out), "--taskset", str(tmp_path / "other.jsonl")])
    assert "1 verified attempts written" in capsys.readouterr().out
    (row,) = [json.loads(line) for line in out.read_text().splitlines()]
    assert [turn["role"] for turn in row["messages"]] == ["system", "user", "assistant"]
    assert row["messages"][-1]["content"] == fenced(GOOD) + "\n```"
    about = row["metadata"]
    assert (about["task"], about["licence"], about["teacher"]) == ("median", "Apache-2.0", "tutor")
    command(["export", "--sft", str(out), "--taskset", str(tmp_path / "other.jsonl"),
             "--split", "heldout"])  # fmt: skip
    (row,) = [json.loads(line) for line in out.read_text().splitlines()]
    assert row["metadata"]["task"] == "held"


def command(words: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["teacher", *words])
    assert ended.value.code == OK

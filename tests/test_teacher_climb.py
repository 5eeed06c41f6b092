"""Whole micro climbs with teachers that are down, hostile or too dear: each goes on to its end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from faulty_server import FAULTS, faulty_server
from micro_world import make_tasks, short_settings
from toprope.cli.main import FAILED, main
from toprope.climb import run
from toprope.climb.help.spending import before_spending
from toprope.climb.run import climb
from toprope.harness.lines import express
from toprope.ledger.store import Ledger
from toprope.sandbox import Sandbox, open_sandbox
from toprope.tasks import load_taskset, save_taskset
from toprope.teacher.openai import KEY_VARIABLE
from toprope.teacher.reference import ReferenceTeacher
from toprope.terms import Attempt, Split, Task

KEY = "sk-live-0123456789abcdef"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    opened = open_sandbox(workers=1)
    yield opened
    opened.close()


@pytest.fixture
def letters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The micro tasks that read as Python, so that a teacher can be asked about them."""
    monkeypatch.setenv("TOPROPE_CACHE", str(tmp_path / "cache"))
    tasks = [t for t in make_tasks() if t.files["program.txt"].replace("\n", "").isalpha()]
    save_taskset(tasks, tmp_path / "letters.jsonl", "letters")
    return tmp_path / "letters.jsonl"


def settings(letters: Path, student: Path, url: str, *more: str) -> Any:
    asked = ('teacher.kind="openai"', f'teacher.endpoint="{url}"', "limits.steps=2")
    return short_settings(letters, student, *asked, "teacher.back_off_s=0.001", *more)


def everything_in(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file())


def test_a_climb_outlives_a_teacher_that_fails_in_every_way_and_keeps_its_key(
    letters: Path,
    micro_student: Path,
    sandbox: Sandbox,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    # To the first question an answer that repeats the key; to others every fault there is, and
    # at last a refusal that does. However busy the machine, no more than these can come of it.
    script = [*FAULTS, "500"]

    def fault(number: int) -> str:
        if server.asked[number]["messages"] == server.asked[0]["messages"]:
            return ""
        return script.pop(0) if script else "401"

    with faulty_server(lambda body: f"your key is {KEY}\x1b]0;mine\x07", fault) as server:
        config = settings(letters, micro_student, server.url,
                          "teacher.tries=9", "teacher.total_s=0.5")  # fmt: skip
        said: list[str] = []
        summary = climb(config, tmp_path / "run", sandbox=sandbox, say=said.append)
    assert script == []
    assert summary["status"] == "finished"
    assert summary["teacher"]["quiet_reason"] == "unreachable"
    assert summary["teacher"]["calls"] >= 10  # the first task's eight answers, then what was lost
    told = capfd.readouterr()
    for text in (everything_in(tmp_path), told.out, told.err, "\n".join(said)):
        written = text if isinstance(text, bytes) else text.encode()
        assert not any(KEY[at : at + 8].encode() in written for at in range(len(KEY) - 7))
    assert b"your key is [key]" in everything_in(tmp_path / "run")


def test_a_budget_ends_the_help_and_not_the_climb_and_holds_when_it_goes_on(
    letters: Path, micro_student: Path, sandbox: Sandbox, tmp_path: Path
) -> None:
    with faulty_server(lambda body: "import os; os.kill(1, 9)") as server:
        words = ("teacher.max_calls=5", "teacher.cache=false")
        config = settings(letters, micro_student, server.url, *words)
        summary = climb(config, tmp_path / "run", sandbox=sandbox)
        assert len(server.asked) == 5
        longer = settings(letters, micro_student, server.url, *words, "limits.steps=3")
        assert climb(longer, tmp_path / "run", sandbox=sandbox)["status"] == "finished"
        assert len(server.asked) == 5
        told = "\n".join(before_spending(longer, tmp_path / "run"))
    assert summary["status"] == "finished"
    assert summary["teacher"]["quiet_reason"] == "budget"
    assert summary["teacher"]["calls"] == 5
    assert summary["teacher"]["cost_usd"] is None  # no price was known
    assert "spent by this run so far: 5 calls, 210 tokens" in told


def test_hints_without_demonstrations_are_told_before_they_are_asked_for(
    letters: Path, micro_student: Path, tmp_path: Path
) -> None:
    words = ("seeding.demonstrations=0", "ladder.rungs=[0, 3]", "teacher.max_calls=5")
    config = settings(letters, micro_student, "http://127.0.0.1:9", *words)
    told = "\n".join(before_spending(config, tmp_path / "run"))
    assert "estimate: 0 to 5 calls" in told
    assert "asked for: hints, prefixes and fixes (rungs 3 to 5)" in told
    every = len(load_taskset(str(letters)).split(Split.TRAIN))
    assert f"of at most {every} tasks" in told


def test_a_second_run_asks_nobody_for_what_a_first_one_paid(
    letters: Path, micro_student: Path, sandbox: Sandbox, tmp_path: Path
) -> None:
    with faulty_server(lambda body: "no idea") as server:
        priced = ("teacher.price_per_million_input=1.0", "teacher.price_per_million_output=2.0")
        config = settings(letters, micro_student, server.url, *priced)
        first = climb(config, tmp_path / "one", sandbox=sandbox)["teacher"]
        asked = len(server.asked)
        second = climb(config, tmp_path / "two", sandbox=sandbox)["teacher"]
        assert len(server.asked) == asked > 10
    assert (first["calls"], first["tokens"]) == (second["calls"], second["tokens"])
    assert first["cost_usd"] == pytest.approx(asked * (30 + 2 * 12) / 1e6)
    assert second["cost_usd"] == 0
    with Ledger.open(tmp_path / "two") as ledger:
        assert {row[-1] for row in ledger.journal.calls()} == {0}  # not one was asked live


class PaidBefore(ReferenceTeacher):
    """Knows the fixes, as a live teacher does whose attempts are all in the cache."""

    name = "tutor"
    answer_key = False

    def attempts(self, task: Task, n: int, start: int = 0) -> list[Attempt]:
        given = super().attempts(task, n, start)
        return [replace(a, cached=True, prompt_tokens=30, completion_tokens=12) for a in given]


def test_cached_tokens_are_the_teachers_share_and_no_money(
    letters: Path,
    micro_student: Path,
    sandbox: Sandbox,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(run, "make_teacher", lambda *given, **named: PaidBefore(express))
    config = settings(letters, micro_student, "http://127.0.0.1:9",
                      "teacher.price_per_million_input=1.0")  # fmt: skip
    teacher = climb(config, tmp_path / "run", sandbox=sandbox)["teacher"]
    assert teacher["share_by_window"][0]["share"] > 0
    assert teacher["tokens"] == 42 * teacher["calls"] > 0
    assert teacher["cost_usd"] == 0
    with Ledger.open(tmp_path / "run") as ledger:
        assert {kind for (kind,) in ledger.db.execute("SELECT kind FROM seeds")} == {"replayed"}


@pytest.mark.slow
def test_nothing_is_spent_where_nobody_agrees(
    letters: Path,
    micro_student: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    with faulty_server() as server:
        words = [
            f'taskset="{letters}"', f'student.model="{micro_student}"', 'teacher.kind="openai"',
            f'teacher.endpoint="{server.url}"', "teacher.price_per_million_input=1.0",
            "teacher.price_per_million_output=2.0", "teacher.max_calls=20",
        ]  # fmt: skip
        sets = [word for setting in words for word in ("--set", setting)]
        with pytest.raises(SystemExit) as ended:
            main(["climb", "small", "--run", str(tmp_path / "run"), *sets])
        assert ended.value.code == FAILED
        assert server.asked == []
    told = capsys.readouterr()
    assert "give --yes" in told.err
    assert "20 calls" in told.out
    assert "leaves this machine: the function in question" in told.out
    assert "the key in $TOPROPE_TEACHER_KEY is sent" in told.out
    assert KEY not in json.dumps([told.out, told.err])
    assert not (tmp_path / "run").exists()

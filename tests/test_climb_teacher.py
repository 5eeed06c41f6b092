"""A climb with a live teacher that is killed between an answer and the commit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from micro_world import make_tasks, short_settings
from teacher_parts import chat_server
from toprope.climb.crew import Crew
from toprope.climb.help import helping
from toprope.climb.opening import used_attempts
from toprope.climb.run import climb
from toprope.ladder.rung import Help
from toprope.ledger.rows import TeacherCall
from toprope.ledger.store import Ledger
from toprope.sandbox import Sandbox, open_sandbox
from toprope.tasks import save_taskset
from toprope.teacher.protocol import Spend
from toprope.terms import Outcome


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    opened = open_sandbox(workers=1)
    yield opened
    opened.close()


@pytest.fixture
def letters(tmp_path: Path) -> Path:
    """The micro tasks that read as Python, so that a teacher can be asked about them."""
    tasks = [t for t in make_tasks() if t.files["program.txt"].replace("\n", "").isalpha()]
    save_taskset(tasks, tmp_path / "letters.jsonl", "letters")
    return tmp_path / "letters.jsonl"


class Killed(BaseException):
    """Ends a climb on the spot, as a kill does."""


def test_a_teacher_is_not_asked_again_for_what_a_kill_kept_from_the_ledger(
    letters: Path,
    micro_student: Path,
    sandbox: Sandbox,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole, run = tmp_path / "whole", tmp_path / "run"

    def killed(crew: Crew, iteration: int, help_: Help) -> None:
        if help_.attempts:
            raise Killed

    with chat_server(lambda body: "I do not know") as server:
        teacher = (
            'teacher.kind="openai"',
            f'teacher.endpoint="{server.url}"',
            "limits.steps=2",
            "teacher.cache=false",
        )
        config = short_settings(letters, micro_student, *teacher)
        climb(config, whole, sandbox=sandbox)
        asked = questions(server.asked)
        server.asked.clear()
        with monkeypatch.context() as patch:
            patch.setattr(helping, "_book_calls", killed)
            with pytest.raises(Killed):
                climb(config, run, sandbox=sandbox)
        assert questions(server.asked) == asked
        climb(config, run, sandbox=sandbox)
        assert questions(server.asked) == asked  # none of them twice
    assert len(asked) > 10
    with Ledger.open(run) as resumed, Ledger.open(whole) as undisturbed:
        assert resumed.digest() == undisturbed.digest()
        assert len(resumed.journal.calls()) == len(asked)


def questions(asked: list[dict[str, Any]]) -> list[tuple[str, int]]:
    return [(body["messages"][-1]["content"], body["seed"]) for body in asked]


def test_what_earlier_sittings_used_of_a_recording_is_known_to_the_next(tmp_path: Path) -> None:
    call = TeacherCall("an attempt", "a task", "3", 30, 12, 0.5, Outcome.PASSED, False)
    with Ledger.open(tmp_path, create=True) as ledger:
        ledger.record_teacher_calls([call])  # and the sitting ends before a commit
    with Ledger.open(tmp_path) as ledger:
        assert used_attempts(ledger) == {"an attempt": Spend(1, 42, 0.5)}

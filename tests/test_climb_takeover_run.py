"""A climb over turns in which a teacher takes over, and what it frees; a kill changes nothing."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sittings import sit
from teacher_parts import chat_server
from toprope.climb.run import climb
from toprope.climb.why import why
from toprope.ledger.store import Ledger
from toprope.ledger.uses import rung_uses
from toprope.report.ladder import rung_rows
from toprope.sandbox import Sandbox, open_sandbox
from toprope.tasks import load_taskset
from toprope.terms import Split, State, Task
from turn_world import PATH, SHORTER, TURNS, turn_settings, write_tasks, write_turn_student

pytestmark = pytest.mark.slow

TAKING = (
    "ladder.rungs=[0,5]",
    "ladder.tasks=5",
    "seeding.demonstrations=0",
    "turns.most=6",
    "turns.context=240",
    "turns.tokens=96",
    "cold_start.tasks=14",
    "seeding.learning_rate=3e-3",
    "seeding.epochs=2",
    "limits.steps=6",
)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    opened = open_sandbox(workers=2)
    yield opened
    opened.close()


@dataclass(frozen=True)
class World:
    taskset: Path
    student: Path
    run: Path
    summary: dict[str, Any]


@pytest.fixture(scope="module")
def world(tmp_path_factory: Any, sandbox: Sandbox) -> World:
    folder = tmp_path_factory.mktemp("takeover")
    student = write_turn_student(folder / "student", steps=200)
    taskset = write_tasks(folder / "turns.jsonl")
    run = folder / "whole"
    summary = climb(turn_settings(taskset, student, *TAKING), run, sandbox=sandbox)
    return World(taskset, student, run, summary)


def test_taking_over_frees_tasks_in_which_the_student_had_no_success(world: World) -> None:
    (mine,) = [row for row in rung_rows(world.run) if row["rung"] == "5"]
    assert mine["name"] == "take over"
    assert mine["thawed"] >= 1
    assert mine["answer_key"]
    assert mine["plain_before"]["rate"] == 0
    with Ledger.open(world.run) as ledger:
        freed = [c.task_id for c in ledger.transitions() if c.before is State.COLD]
        seeds = ledger.db.execute("SELECT place, kind FROM seeds WHERE rung = '5'").fetchall()
        taken = ledger.db.execute("SELECT rung, purpose FROM evidence WHERE mode = 'taken'")
        uses = [use for use in rung_uses(ledger.db) if use.rung == "5"]
        assert set(taken.fetchall()) == {("5", "help")}  # and so no evidence of ability
    assert freed
    assert set(seeds) == {("loss", "reference")}
    for task_id in {use.task_id for use in uses}:
        shares = [use.setting.split(" ")[0] for use in uses if use.task_id == task_id]
        assert shares == ["4/5", "3/5", "2/5", "1/5"][: len(shares)]
    told = why(world.run, uses[0].task_id)
    assert "its last help was rung 5 (" in told


def tutor(tasks: Sequence[Task]) -> Callable[[dict[str, Any]], str]:
    """A model that mends the wrong line of the program that it is shown, and hands it in."""
    edits = {}
    for task in tasks:
        before, after = task.files[PATH].split("\n"), task.solution[PATH].split("\n")
        at = next(n for n, line in enumerate(before) if line != after[n])
        shown = "\n".join(f"{n:5} {line}" for n, line in enumerate(before, 1))
        edits[shown] = f"edit {PATH} {at + 1} {at + 1}\n{after[at]}\nend"

    def answer(body: dict[str, Any]) -> str:
        talk = [message["content"] for message in body["messages"]]
        (edit,) = [edit for shown, edit in edits.items() if shown in talk[1]]
        return "I am done.\nsubmit" if talk[-2] == edit else f"That is wrong.\n{edit}"

    return answer


POINTS = (
    "toprope.teacher.speaking:Speaker.say#3",
    "toprope.climb.turnplay:TurnPlayer.finish",
    "toprope.climb.learner:Learner.imitate",
)


def test_a_climb_killed_while_a_teacher_takes_over_goes_on_to_the_same_bits_and_pays_once(
    world: World, tmp_path: Path
) -> None:
    tasks = [task for task in load_taskset(world.taskset).tasks if task.split is Split.TRAIN]
    with chat_server(tutor(tasks)) as server:
        live = ("teacher.kind=openai", f"teacher.endpoint={server.url}", "teacher.cache=false")
        settings = " ".join([*SHORTER, *TURNS, *TAKING, *live, "limits.steps=3"])
        (whole,) = sit(tmp_path / "a", world.taskset, world.student, "", settings=settings)
        asked = len(server.asked)
        (found,) = sit(tmp_path / "b", world.taskset, world.student, *POINTS, "", settings=settings)
        assert len(server.asked) == 2 * asked > 6  # what was paid before a kill is not asked again
    statuses = [at["status"] for at in found["sittings"]]
    assert statuses == [*[-signal.SIGKILL] * len(POINTS), 0]
    assert found["left"] == whole["left"]
    (run,) = {path.parent for path in (tmp_path / "b").rglob("ledger.sqlite")}
    with Ledger.open(run) as ledger:
        calls = ledger.db.execute("SELECT rung, outcome, live FROM teacher_calls").fetchall()
        uses = [use for use in rung_uses(ledger.db) if use.rung == "5"]
    assert len(calls) == asked
    assert {(rung, bool(live)) for rung, _, live in calls} == {("5", True)}
    assert sum(use.teacher_tokens for use in uses) > 0

"""A climb over turns in which a teacher takes over, and what it frees; a kill changes nothing."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sittings import sit
from teacher_parts import FakeServer, chat_server
from toprope.climb.run import climb
from toprope.climb.why import why
from toprope.ledger.store import Ledger
from toprope.ledger.uses import rung_uses
from toprope.report.ladder import rung_rows
from toprope.sandbox import Sandbox, open_sandbox
from toprope.tasks import load_taskset
from toprope.terms import Split, State
from turn_world import PATH, SHORTER, TURNS, turn_settings, write_tasks, write_turn_student

pytestmark = pytest.mark.slow

TAKING = (
    "ladder.rungs=[0,5]",
    "ladder.tasks=12",
    "cold_start.tasks=36",
    "turns.most=6",
    "turns.context=400",
    "turns.tokens=96",
    "seeding.demonstrations=0",
    "seeding.learning_rate=3.5e-4",
    "seeding.epochs=2",
    "seeding.pilot_tasks=12",
    "climbing.pilots_per_step=12",
    "climbing.tasks=1",
    "climbing.explore=0",
    "climbing.learning_rate=1e-5",  # so that it is not reinforcement that thaws
    "evaluation.frozen_base_draws=0",
    "climbing.group=8",
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
    with chat_server(tutor(taskset)) as server:
        summary = climb(turn_settings(taskset, student, *TAKING, *at(server)), run, sandbox=sandbox)
    return World(taskset, student, run, summary)


def at(server: FakeServer) -> tuple[str, ...]:
    return "teacher.kind=openai", f"teacher.endpoint={server.url}", "teacher.cache=false"


def tutor(taskset: Path) -> Callable[[dict[str, Any]], str]:
    """A model that mends the wrong line of the program that it is shown, and hands it in."""
    edits = {}
    for task in load_taskset(taskset).split(Split.TRAIN):
        before, after = task.files[PATH].split("\n"), task.solution[PATH].split("\n")
        line = next(n for n, text in enumerate(before) if text != after[n])
        shown = "\n".join(f"{n:5} {text}" for n, text in enumerate(before, 1))
        edits[shown] = f"edit {PATH} {line + 1} {line + 1}\n{after[line]}\nend"

    def answer(body: dict[str, Any]) -> str:
        talk = [message["content"] for message in body["messages"]]
        (edit,) = [edit for shown, edit in edits.items() if shown in talk[1]]
        return "I am done.\nsubmit" if talk[-2] == edit else f"That is wrong.\n{edit}"

    return answer


def test_taking_over_frees_tasks_in_which_the_student_had_no_success(world: World) -> None:
    (mine,) = [row for row in rung_rows(world.run) if row["rung"] == "5"]
    assert mine["name"] == "take over"
    assert mine["thawed"] >= 2
    assert world.summary["thawed"]["unseeded_control"]["thawed"] == 0
    assert not mine["answer_key"]
    assert mine["plain_after"]["rate"] > mine["plain_before"]["rate"]
    with Ledger.open(world.run) as ledger:
        freed = [c.task_id for c in ledger.transitions() if c.before is State.COLD]
        seeds = ledger.db.execute("SELECT place, kind FROM seeds WHERE rung = '5'").fetchall()
        taken = ledger.db.execute("SELECT rung, purpose FROM evidence WHERE mode = 'taken'")
        uses = [use for use in rung_uses(ledger.db) if use.rung == "5"]
        assert set(taken.fetchall()) == {("5", "help")}  # and so no evidence of ability
    assert freed
    assert set(seeds) == {("loss", "fresh")}
    for task_id in {use.task_id for use in uses}:
        shares = [use.setting.split(" ")[0] for use in uses if use.task_id == task_id]
        assert shares == ["4/5", "3/5", "2/5", "1/5"][: len(shares)]
    told = why(world.run, uses[0].task_id)
    assert "its last help was rung 5 (" in told


POINTS = (
    "toprope.teacher.speaking:Speaker.say#3",
    "toprope.climb.episodes.turnplay:TurnPlayer.finish",
    "toprope.climb.training.learner:Learner.imitate",
)


def test_a_climb_killed_while_a_teacher_takes_over_goes_on_to_the_same_bits_and_pays_once(
    world: World, tmp_path: Path
) -> None:
    few = ("teacher.concurrency=1", "climbing.group=4", "limits.steps=3")  # none on its way
    with chat_server(tutor(world.taskset)) as server:
        settings = " ".join([*SHORTER, *TURNS, *TAKING, *at(server), *few])
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

"""A climb over turns in which a teacher takes over, and what it frees; a kill changes nothing."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from micro_climber import left_in
from sittings import sit
from toprope.climb.run import climb
from toprope.ledger.store import Ledger
from toprope.report.ladder import rung_rows
from toprope.sandbox import Sandbox, open_sandbox
from turn_world import SHORTER, TURNS, turn_settings, write_tasks, write_turn_student

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
    with Ledger.open(world.run) as ledger:
        for row in ledger.db.execute("select * from rung_uses"):
            print(tuple(row))
        for row in ledger.db.execute("select * from seeds"):
            print(tuple(row))
        for row in ledger.db.execute(
            "select task_id, mode, outcome, sampled_tokens from evidence where mode='taken'"
        ):
            print(tuple(row))
        for row in ledger.transitions():
            print(row)
    print(rung_rows(world.run))
    print(world.summary["thawed"], world.summary["teacher"])
    assert 0


POINTS = (
    "toprope.climb.turnplay:TurnPlayer.handed_over",
    "toprope.climb.turnplay:TurnPlayer.finish",
    "toprope.climb.learner:Learner.imitate",
)


def test_a_climb_that_is_killed_while_a_teacher_takes_over_ends_as_the_undisturbed_one(
    world: World, tmp_path: Path
) -> None:
    settings = " ".join([*SHORTER, *TURNS, *TAKING])
    (found,) = sit(tmp_path, world.taskset, world.student, *POINTS, "", settings=settings)
    statuses = [at["status"] for at in found["sittings"]]
    assert statuses == [*[-signal.SIGKILL] * len(POINTS), 0]
    assert found["left"] == left_in(world.run)

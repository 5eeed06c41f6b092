"""Rung 7 in whole climbs: distributions alone thaw what reinforcement alone does not."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from help_world import helped_by, write_helpable, write_tasks
from micro_world import buggy, write_student
from toprope.climb.run import climb
from toprope.ledger import accounts
from toprope.ledger.store import Ledger
from toprope.sandbox import Sandbox, open_sandbox


def mends(rng: random.Random, count: int) -> list[tuple[str, str]]:
    """A batch of what the teacher is taught: asked "now", mend the wrong line."""
    return [_mended(*buggy(rng)) for _ in range(count)]


def _mended(program: list[str], at: int, right: str) -> tuple[str, str]:
    view = "\n".join(f"{i}|{c}" for i, c in enumerate(program, 1))
    return f"{view}\nnow", f"{at + 1}|{right}"


@dataclass(frozen=True)
class World:
    taskset: Path
    student: Path
    teacher: Path
    sandbox: Sandbox
    folder: Path

    def climb(self, name: str, *overrides: str) -> Path:
        """Climb once under a name, and return the run's folder."""
        run = self.folder / name
        if not run.exists():
            settings = ('teacher.kind="none"', *overrides)
            climb(helped_by(self.taskset, self.student, *settings), run, sandbox=self.sandbox)
        return run

    def alone(self) -> Path:
        return self.climb("7", *self.rung(), "limits.steps=8")

    def rung(self) -> tuple[str, str]:
        return "ladder.rungs=[0, 7]", f'teacher.whitebox="{self.teacher}"'


@pytest.fixture(scope="module")
def world(tmp_path_factory: Any) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("logits")
    sandbox = open_sandbox(workers=2)
    student = write_helpable(folder / "student", steps=400)
    teacher = write_student(folder / "teacher", steps=300, seed=7, say=mends)
    yield World(write_tasks(folder / "tasks.jsonl"), student, teacher, sandbox, folder)
    sandbox.close()


def freed(run: Path) -> tuple[int, int]:
    """How many of the cold tasks that may be helped have thawed, of how many."""
    with Ledger.open(run) as ledger:
        cold = accounts.first_cold(ledger.transitions())
        control = {row.task_id for row in ledger.tasks() if row.never_seeded}
        helped = set(cold) - control
        return len(helped & set(accounts.thaws(ledger.transitions()))), len(helped)


def test_distributions_alone_thaw_what_reinforcement_does_not(world: World) -> None:
    without, cold = freed(world.climb("none", "ladder.rungs=[0]", "limits.steps=8"))
    thawed, of = freed(world.alone())
    print(without, cold, thawed, of)
    assert of == cold >= 8
    assert thawed >= without + 5

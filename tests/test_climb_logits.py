"""Rung 7 in whole climbs: distributions alone thaw what reinforcement alone does not."""

from __future__ import annotations

import json
import random
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from help_world import helped_by, write_helpable, write_tasks
from micro_world import buggy, make_tokenizer, write_student
from sittings import sit
from toprope.climb.run import climb
from toprope.climb.why import why
from toprope.ladder.logits import divergence
from toprope.ladder.rung import Use
from toprope.ledger import accounts
from toprope.ledger.rows import FRESH
from toprope.ledger.store import Ledger
from toprope.ledger.uses import rung_uses
from toprope.policy.whitebox import OtherTokenizer
from toprope.report.ladder import rung_rows, rung_table
from toprope.sandbox import Sandbox, open_sandbox
from toprope.terms import State

pytestmark = pytest.mark.slow  # trains students of its own, and climbs with each of them


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
        return self.climb("7", *self.rung(), "limits.steps=7")

    def rung(self) -> tuple[str, str]:
        return "ladder.rungs=[0, 7]", f'teacher.whitebox="{self.teacher}"'


@pytest.fixture(scope="module")
def world(tmp_path_factory: Any) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("logits")
    sandbox = open_sandbox(workers=2)
    student = write_helpable(folder / "student", steps=400)
    teacher = write_student(folder / "teacher", steps=250, seed=7, say=mends)
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
    without, cold = freed(world.climb("none", "ladder.rungs=[0]", "limits.steps=7"))
    thawed, of = freed(world.alone())
    assert of == cold >= 8
    assert thawed >= without + 4


def test_a_use_is_a_row_with_what_the_teacher_read_and_what_was_learned(world: World) -> None:
    with Ledger.open(world.alone()) as ledger:
        uses = rung_uses(ledger.db)
        thaws = accounts.thaws(ledger.transitions())
        control = {row.task_id for row in ledger.tasks() if row.never_seeded}
        seeds = ledger.db.execute("SELECT iteration, task_id, kind, tokens, place FROM seeds")
        learned = {(i, task): row for i, task, *row in seeds}
        read, flops = ledger.db.execute(
            "SELECT sum(processed_tokens), sum(flops) FROM meters WHERE phase = 'teacher'"
        ).fetchone()
    assert uses
    assert {use.rung for use in uses} == {"7"}
    assert not control & {use.task_id for use in uses}
    assert all(use.iteration < thaws.get(use.task_id, 99) for use in uses)  # left at the thaw
    assert {(use.iteration, use.task_id) for use in uses} == set(learned)
    assert all((kind, place) == (FRESH, "loss") for kind, _, place in learned.values())
    assert read == sum(use.teacher_tokens for use in uses) > 0
    assert flops > 2 * 30_000 * read  # of a model with more than 30,000 weights in its layers
    nats = [divergence(Use(use.rung, use.setting)) for use in uses]
    assert all(n is not None and n >= 0 for n in nats)
    first, last = min(u.iteration for u in uses), max(u.iteration for u in uses)
    at = {i: [n or 0 for n, u in zip(nats, uses, strict=True) if u.iteration == i]
          for i in (first, last)}  # fmt: skip
    assert sum(at[last]) / len(at[last]) < sum(at[first]) / len(at[first])


def test_the_teacher_s_part_is_told_in_its_share_its_tokens_and_the_table(world: World) -> None:
    run = world.alone()
    summary = json.loads((run / "summary.json").read_text())
    with Ledger.open(run) as ledger:
        shown, trained = (
            ledger.db.execute(f"SELECT sum({what}) FROM {table} WHERE iteration < 5").fetchone()[0]
            for what, table in (("tokens", "seeds"), ("trained_tokens", "meters"))
        )
        read = sum(use.teacher_tokens for use in rung_uses(ledger.db))
        student = ledger.db.execute(
            "SELECT sum(processed_tokens) FROM meters WHERE phase != 'teacher'"
        ).fetchone()[0]
        phases = {row[0] for row in ledger.db.execute("SELECT DISTINCT phase FROM meters")}
        task = next(t for t, state in ledger.states().items() if state is State.LIVE)
    first = summary["teacher"]["share_by_window"][0]
    assert (first["tokens"], first["share"]) == (shown, pytest.approx(shown / trained))
    assert 0 < shown <= trained
    assert (summary["teacher"]["tokens"], summary["teacher"]["calls"]) == (read, 0)
    assert summary["compute"]["processed_tokens"] == student
    assert {"seed", "teacher"} <= phases
    (row,) = [row for row in rung_rows(run) if row["rung"] == "7"]
    assert row["teacher_tokens"] == read
    assert "7 logits" in rung_table([row])
    assert task in why(run, task)


def test_a_limit_of_tokens_is_hard_and_has_its_name(world: World) -> None:
    run = world.climb("limit", *world.rung(), "teacher.max_tokens=200", "limits.steps=4")
    summary = json.loads((run / "summary.json").read_text())
    assert 0 < summary["teacher"]["tokens"] <= 200
    assert summary["teacher"]["quiet_reason"] is None or freed(run)[0] < freed(run)[1]


@pytest.mark.slow
def test_a_step_half_done_is_done_again_to_the_bit(world: World, tmp_path: Path) -> None:
    settings = " ".join(
        [*(part.replace(" ", "") for part in world.rung()), "seeding.demonstrations=0",
         'teacher.kind="none"', "limits.steps=3", "cold_start.never_seeded=0"]
    )  # fmt: skip
    kills = (
        "toprope.climb.training.distilling:Distiller.learn",
        "toprope.climb.help.practice:_book#2",
    )
    whole, killed = sit(
        tmp_path, world.taskset, world.student, "", "--", *kills, "", settings=settings
    )
    assert [at["status"] for at in killed["sittings"]] == [*[-signal.SIGKILL] * len(kills), 0]
    assert killed["left"] == whole["left"]
    with Ledger.open(tmp_path / "0") as ledger:
        assert {use.rung for use in rung_uses(ledger.db)} == {"7"}


def test_a_climb_with_a_teacher_of_another_tokenizer_does_not_begin(
    world: World, tmp_path: Path
) -> None:
    other = make_tokenizer()
    other.add_tokens(["<more>"])
    folder = tmp_path / "other"
    shutil.copytree(world.teacher, folder)
    other.save_pretrained(folder)
    settings = ("ladder.rungs=[0, 7]", f'teacher.whitebox="{folder}"', 'teacher.kind="none"')
    with pytest.raises(OtherTokenizer, match="another tokenizer than the student"):
        climb(
            helped_by(world.taskset, world.student, *settings), tmp_path / "run",
            sandbox=world.sandbox,
        )  # fmt: skip

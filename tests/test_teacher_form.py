"""Wrong edits in the right form: the control that shows what form alone teaches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from micro_world import make_tasks, short_settings
from toprope.climb.config import ClimbConfig, ConfigError
from toprope.climb.pool.seedpool import divided, seed_pool
from toprope.climb.run import climb
from toprope.climb.why import why
from toprope.grading import Grader
from toprope.harness import lines
from toprope.ledger import queries
from toprope.ledger.store import Ledger
from toprope.report import words
from toprope.report.ladder import rung_rows
from toprope.sandbox import Sandbox, open_sandbox
from toprope.tasks import load_taskset
from toprope.teacher.form import FormTeacher, wrong_edit
from toprope.terms import Outcome, Split

FORM = ('teacher.kind="form"', 'seeding.on="set_aside"', "seeding.set_aside=12")


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with closing(open_sandbox(workers=1)) as opened:
        yield opened


def test_a_wrong_edit_puts_a_shown_line_in_another_ones_place() -> None:
    for task in make_tasks(train=20, dev=1, heldout=1):
        before = task.files["program.txt"].split("\n")
        found = [wrong_edit(task, number) for number in range(4)]
        for files in filter(None, found):
            after = files["program.txt"].split("\n")
            changed = [
                at for at, pair in enumerate(zip(before, after, strict=True)) if len({*pair}) > 1
            ]
            assert len(changed) == 1
            assert changed[0] > 0
            assert after[changed[0]] in before
        assert found == [wrong_edit(task, number) for number in range(4)]


def test_attempts_are_well_formed_and_fail(sandbox: Sandbox) -> None:
    teacher = FormTeacher(Grader(sandbox), lines.express)
    task = make_tasks(train=1, dev=1, heldout=1)[0]
    attempts = teacher.attempts(task, 3)
    assert attempts
    for attempt in attempts:
        assert attempt.outcome is Outcome.FAILED
        assert lines.parse(attempt.action or "", task)
        assert attempt.prompt_tokens == attempt.completion_tokens == 0
    assert teacher.attempts(task, 2, start=1) == attempts[1:3]


def test_seeds_on_set_aside_tasks_leave_the_pool_alone(
    micro_tasks: Path, micro_student: Path, tmp_path: Path
) -> None:
    config = short_settings(micro_tasks, micro_student, *FORM)
    summary = climb(config, tmp_path / "run")
    with Ledger.open(tmp_path / "run") as ledger:
        seeded = {row[0] for row in ledger.db.execute("SELECT task_id FROM seeds")}
        drawn = {row[0] for row in ledger.db.execute("SELECT task_id FROM evidence")}
    pool, aside = divided(load_taskset(str(micro_tasks)).split(Split.TRAIN), config)
    assert len(seeded) == 6
    assert seeded <= {task.id for task in aside}
    assert not drawn & {task.id for task in aside}
    assert len(aside) == 12
    assert "set aside from the pool" in why(tmp_path / "run", aside[0].id)
    (row,) = [row for row in rung_rows(tmp_path / "run") if row["rung"] == "6"]
    assert row["derived_tokens"] == row["teacher_tokens"] == 0
    assert "the control of form alone" in " ".join(words.closing(summary).shown)
    assert not {task.id for task in pool} & {task.id for task in aside}
    assert summary["teacher"]["tokens"] == 0
    assert [w["share"] for w in summary["teacher"]["share_by_window"]] == [0.0, 0.0]


def test_random_seeds_leave_out_the_control(
    micro_tasks: Path, micro_student: Path, tmp_path: Path
) -> None:
    config = short_settings(
        micro_tasks, micro_student, 'seeding.on="random"', "limits.steps=2", "cold_start.tasks=40"
    )
    climb(config, tmp_path / "run")
    tasks = load_taskset(str(micro_tasks)).split(Split.TRAIN)
    with Ledger.open(tmp_path / "run") as ledger:
        control = {row.task_id for row in queries.tasks(ledger.db) if row.never_seeded}
        seeded = {row[0] for row in ledger.db.execute("SELECT task_id FROM seeds")}
        pool = seed_pool(tasks, config, ledger)
        cold = seed_pool(tasks, ClimbConfig(), ledger)
    assert cold is None
    assert control
    assert pool is not None
    assert {one.task.id for one in pool} == {task.id for task in tasks} - control
    assert seeded
    assert seeded <= {one.task.id for one in pool}
    assert seeded - {task.id for task in tasks[:40]}  # not from the tested ones alone


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (('seeding.on="set_aside"',), "seeding.set_aside is 0"),
        (('teacher.kind="form"',), "gives wrong answers"),
    ],
)
def test_contradictions_are_told(
    micro_tasks: Path, micro_student: Path, overrides: tuple[str, ...], told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        short_settings(micro_tasks, micro_student, *overrides)

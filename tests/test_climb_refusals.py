"""Bad input to a climb: each a clear error, or set aside and told, and nothing lost."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from micro_world import make_tasks, short_settings
from toprope.climb.config import ClimbConfig
from toprope.climb.loop import NothingToClimb
from toprope.climb.run import climb
from toprope.climb.rundir import RunDir, RunDirError
from toprope.ledger.schema import SCHEMA_VERSION, LedgerError
from toprope.ledger.store import Ledger
from toprope.policy.checkpoint import CheckpointError
from toprope.policy.fetch import ModelMissing
from toprope.policy.load import PartialModel
from toprope.sandbox import Sandbox, open_sandbox
from toprope.tasks import TaskFormatError, TasksetNotFound, save_taskset
from toprope.terms import Split, State, Task


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    opened = open_sandbox(workers=2)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def begun(
    micro_tasks: Path, micro_student: Path, sandbox: Sandbox, tmp_path_factory: Any
) -> tuple[Path, ClimbConfig]:
    """A run that ended after two iterations, and its settings."""
    run = tmp_path_factory.mktemp("begun") / "run"
    config = short_settings(micro_tasks, micro_student, "limits.steps=2")
    climb(config, run, sandbox=sandbox)
    return run, config


def unsolvable(task: Task) -> Task:
    """Return the task with a reference fix that mends nothing."""
    path = task.focus.path
    return replace(task, solution={path: task.files[path]})


def saved(tasks: Sequence[Task], path: Path) -> Path:
    save_taskset(tasks, path, "micro")
    return path


def test_an_empty_taskset(micro_student: Path, sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "none.jsonl").write_text("")
    config = short_settings(tmp_path / "none.jsonl", micro_student)
    with pytest.raises(TaskFormatError, match=r"none\.jsonl: the taskset is empty"):
        climb(config, tmp_path / "run", sandbox=sandbox)
    assert not (tmp_path / "run").exists()


def test_a_taskset_that_is_not_there(micro_student: Path, sandbox: Sandbox, tmp_path: Path) -> None:
    with pytest.raises(TasksetNotFound, match="give the path of a"):
        climb(short_settings(tmp_path / "no.jsonl", micro_student), tmp_path / "run")


def test_a_taskset_without_training_tasks(
    micro_student: Path, sandbox: Sandbox, tmp_path: Path
) -> None:
    held = [task for task in make_tasks() if task.split is not Split.TRAIN]
    config = short_settings(saved(held, tmp_path / "held.jsonl"), micro_student)
    with pytest.raises(NothingToClimb, match="no training tasks"):
        climb(config, tmp_path / "run", sandbox=sandbox)


def test_a_task_whose_reference_fails_is_set_aside(
    micro_student: Path, sandbox: Sandbox, tmp_path: Path
) -> None:
    tasks = make_tasks()
    mixed = [unsolvable(tasks[0]), *tasks[1:]]
    config = short_settings(saved(mixed, tmp_path / "mixed.jsonl"), micro_student, "limits.steps=3")
    summary = climb(config, tmp_path / "run", sandbox=sandbox)
    assert summary["tasks"]["broken"] == 1
    assert summary["cold_start"]["tested"] == 9
    with Ledger.open(tmp_path / "run") as ledger:
        (moved,) = ledger.transitions(tasks[0].id)
        assert (moved.after, moved.reason) == (State.BROKEN, "the reference fix fails")
        assert [e for e in ledger.evidence_for(tasks[0].id) if e.mode == "plain"] == []


def test_a_task_that_is_met_later_is_proven_before_it_is_paid(
    micro_student: Path, sandbox: Sandbox, tmp_path: Path
) -> None:
    """Doing nothing passes it, and it was not among the tasks of the cold test."""
    tasks = make_tasks()
    train = [task for task in tasks if task.split is Split.TRAIN]
    free = replace(train[-1], files={**train[-1].files, **train[-1].solution})
    mixed = [free if task.id == free.id else task for task in tasks]
    config = short_settings(
        saved(mixed, tmp_path / "mixed.jsonl"), micro_student, "limits.steps=3",
        f"cold_start.tasks={len(train) - 2}", "climbing.explore=1",
    )  # fmt: skip
    summary = climb(config, tmp_path / "run", sandbox=sandbox)
    assert summary["tasks"]["broken"] == 1
    with Ledger.open(tmp_path / "run") as ledger:
        (moved,) = ledger.transitions(free.id)
        assert (moved.after, moved.reason) == (State.BROKEN, "doing nothing passes")
        assert ledger.evidence_for(free.id) == []
        assert ledger.evidence_for(train[-2].id), "a sound one was drawn"


def test_a_taskset_of_broken_tasks(micro_student: Path, sandbox: Sandbox, tmp_path: Path) -> None:
    broken = [unsolvable(task) for task in make_tasks()]
    config = short_settings(saved(broken, tmp_path / "broken.jsonl"), micro_student)
    with pytest.raises(NothingToClimb, match="every task that was tested is broken"):
        climb(config, tmp_path / "run", sandbox=sandbox)


def test_a_missing_model(micro_tasks: Path, sandbox: Sandbox, tmp_path: Path) -> None:
    config = short_settings(micro_tasks, tmp_path / "nobody")
    with pytest.raises(ModelMissing, match="neither a folder or GGUF file here nor a known model"):
        climb(config, tmp_path / "run", sandbox=sandbox)
    (tmp_path / "nobody").mkdir()
    with pytest.raises(PartialModel, match=r"config\.json"):
        climb(config, tmp_path / "run", sandbox=sandbox)
    assert not (tmp_path / "run").exists()


def test_a_folder_that_holds_a_run_with_other_settings(
    begun: tuple[Path, ClimbConfig], micro_tasks: Path, micro_student: Path, sandbox: Sandbox
) -> None:
    other = short_settings(micro_tasks, micro_student, "climbing.group=8", "seed=3")
    with pytest.raises(RunDirError, match=r"other settings \(seed, climbing.group\)"):
        climb(other, begun[0], sandbox=sandbox)


def test_a_folder_of_another_version_of_the_settings(
    begun: tuple[Path, ClimbConfig], sandbox: Sandbox
) -> None:
    run, config = begun
    kept = (run / "config.toml").read_text()
    (run / "config.toml").write_text(kept + "\n[summit]\nflags = 2\n")
    try:
        with pytest.raises(RunDirError, match=r"summit.*written by another version of toprope"):
            climb(config, run, sandbox=sandbox)
    finally:
        (run / "config.toml").write_text(kept)


def test_a_folder_of_another_version_of_the_ledger(
    begun: tuple[Path, ClimbConfig], sandbox: Sandbox
) -> None:
    run, config = begun
    with sqlite3.connect(run / "ledger.sqlite") as db:
        db.execute("PRAGMA user_version = 99")
    try:
        with pytest.raises(LedgerError, match=r"ledger version 99.*start a new run in another"):
            climb(config, run, sandbox=sandbox)
    finally:
        with sqlite3.connect(run / "ledger.sqlite") as db:
            db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def test_a_run_whose_tasks_have_changed(
    micro_student: Path, sandbox: Sandbox, tmp_path: Path
) -> None:
    path = saved(make_tasks(), tmp_path / "micro.jsonl")
    config = short_settings(path, micro_student, "limits.steps=0")
    climb(config, tmp_path / "run", sandbox=sandbox)
    saved(make_tasks(seed=2), path)
    with pytest.raises(RunDirError, match="another version of taskset micro"):
        climb(config, tmp_path / "run", sandbox=sandbox)


def test_a_folder_in_use(begun: tuple[Path, ClimbConfig], sandbox: Sandbox) -> None:
    run, config = begun
    holder = RunDir(run)
    holder.claim(config)
    try:
        with pytest.raises(RunDirError, match="another process is climbing"):
            climb(config, run, sandbox=sandbox)
    finally:
        holder.release()
    assert climb(config, run, sandbox=sandbox)["status"] == "finished"


def test_a_folder_that_is_a_file(
    begun: tuple[Path, ClimbConfig], sandbox: Sandbox, tmp_path: Path
) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(RunDirError, match="choose another folder with --run"):
        climb(begun[1], tmp_path / "run", sandbox=sandbox)


def test_a_damaged_checkpoint_is_refused_and_nothing_is_rolled_back(
    begun: tuple[Path, ClimbConfig], sandbox: Sandbox
) -> None:
    run, config = begun
    weights = max(run.glob("checkpoints/*/model.safetensors"))
    whole = weights.read_bytes()
    with Ledger.open(run) as ledger:
        before = ledger.digest()
    weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    try:
        with pytest.raises(CheckpointError, match="altered since it was written"):
            climb(config, run, sandbox=sandbox)
    finally:
        weights.write_bytes(whole)
    with Ledger.open(run) as ledger:
        assert ledger.digest() == before

"""Forks of a short micro climb: both branches whole, equal but for the teacher, and resumable."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from micro_world import short_settings
from toprope.cli.main import INTERRUPTED, main
from toprope.climb.config import ConfigError, load_config, to_toml
from toprope.climb.forks.fork import WITH, WITHOUT, ForkError, open_fork, run_fork
from toprope.climb.help import helping
from toprope.climb.pastrun import PastRun
from toprope.climb.run import climb
from toprope.climb.rundir import CONFIG
from toprope.climb.status import unwatched
from toprope.ledger.fork import student_flops
from toprope.ledger.rows import AFTER
from toprope.ledger.store import Ledger
from toprope.report.words import closing
from toprope.teacher.reference import ReferenceTeacher
from toprope.terms import State

# Enough demonstrations that some tasks come to life in a few steps.
SEEDED = (
    "cold_start.tasks=16",
    "seeding.demonstrations=12",
    "seeding.pilot_tasks=16",
    "seeding.epochs=2",
    "limits.steps=4",
)


@pytest.fixture(scope="module")
def taught(
    micro_tasks: Path, micro_student: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    run = tmp_path_factory.mktemp("taught") / "run"
    climb(short_settings(micro_tasks, micro_student, *SEEDED), run)
    return run


@pytest.fixture(scope="module")
def budget(taught: Path) -> float:
    with Ledger.open(taught) as ledger:
        return student_flops(ledger.db) / 3


@pytest.fixture(scope="module")
def forked(taught: Path, budget: float, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The fork of a copy of the run, made by the command: cut off once, and gone on with."""
    run = tmp_path_factory.mktemp("forked") / "run"
    shutil.copytree(taught, run)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(helping, "demonstrate", cut_off_after(helping.demonstrate))
        assert forked_by_command(run, budget) == INTERRUPTED
    assert not (run / "fork" / "fork.json").exists()
    assert forked_by_command(run, budget) == 0
    return run


def forked_by_command(run: Path, budget: float) -> int:
    with pytest.raises(SystemExit) as left:
        main(["fork", str(run), "--flops", str(budget)])
    return int(left.value.code or 0)


def cut_off_after(function: Callable[..., None]) -> Callable[..., None]:
    """Interrupt a branch when its policy has changed and nothing of that is committed."""

    def wrapper(*given: Any) -> None:
        function(*given)
        raise KeyboardInterrupt

    return wrapper


def seeds(run: Path) -> list[tuple[int, str]]:
    with Ledger.open(run) as ledger:
        return ledger.db.execute("SELECT iteration, task_id FROM seeds ORDER BY 1, seq").fetchall()


def test_both_branches_spend_the_flops_and_only_one_is_taught(forked: Path, budget: float) -> None:
    found = json.loads((forked / "fork" / "fork.json").read_text())
    for branch in (WITHOUT, WITH):
        assert budget * (1 - 1e-6) <= found[branch]["flops"] < 2 * budget
        assert found[branch]["status"] == "finished"
    before = seeds(forked)
    assert seeds(forked / "fork" / WITHOUT) == before
    forced = seeds(forked / "fork" / WITH)[len(before) :]
    assert forced
    assert all(iteration > found["iteration"] for iteration, _ in forced)
    assert found["with"]["teacher_share"] >= 0.8 * found["earlier_share"] > 0
    assert found["without"]["teacher_tokens"] == 0


def test_the_forced_tasks_are_the_live_ones_that_are_solved_least(
    forked: Path, tmp_path: Path
) -> None:
    shutil.copytree(forked / "fork" / WITH, tmp_path / WITH)
    with Ledger.open(tmp_path / WITH) as ledger:
        first = ledger.db.execute(
            "SELECT min(iteration) FROM notes WHERE key = 'forced'"
        ).fetchone()[0]
        given = {task for at, task in seeds(forked / "fork" / WITH) if at == first}
        ledger.rollback_after(first - 1)
        control = {row.task_id for row in ledger.tasks() if row.never_seeded}
        now = ledger.states()
        live = [t for t, state in now.items() if state is State.LIVE and t not in control]
        newest = {t: draws[-1] for t, draws in ledger.plain_draws(task_ids=live).items()}
    rates = {task: draws.successes / draws.draws for task, draws in newest.items()}
    assert given <= set(live)
    spared = [rates[task] for task in live if task not in given]
    assert max(rates[task] for task in given) <= min(spared, default=1.0)


def test_the_difference_is_of_the_branches_last_held_out_point(forked: Path) -> None:
    found = json.loads((forked / "fork" / "fork.json").read_text())
    rates = {}
    for branch in (WITHOUT, WITH):
        with Ledger.open(forked / "fork" / branch) as ledger:
            (rates[branch],) = ledger.db.execute(
                "SELECT avg(reward) FROM evidence WHERE purpose = ?", [AFTER]
            ).fetchone()
    assert found["difference"] == pytest.approx(rates[WITH] - rates[WITHOUT])
    assert found["upper95"] >= found["difference"]
    assert 0 < found["smallest_effect"] <= 1


def test_the_run_and_its_words_know_the_fork_and_nothing_else_of_it_changed(
    forked: Path, taught: Path
) -> None:
    found = json.loads((forked / "fork" / "fork.json").read_text())
    summary = json.loads((forked / "summary.json").read_text())
    judged = summary["graduation"]
    assert judged["criteria"]["fork"] is (found["upper95"] < 0.03)
    assert judged["numbers"]["fork"] == found
    said = closing(summary)
    assert any(found["why"] in text for text in (*said.shown, *said.not_shown))
    with Ledger.open(forked) as after, Ledger.open(taught) as before:
        assert after.digest() == before.digest()
    assert found["why"] in (forked / "report.html").read_text().replace("&#x27;", "'")


def test_a_branch_begins_with_the_policy_that_the_run_ended_with(
    taught: Path, budget: float, tmp_path: Path
) -> None:
    fork = open_fork(taught, tmp_path / "fork", flops=budget)
    assert fork.flops == pytest.approx(budget)
    left, right = fork.config(WITHOUT), fork.config(WITH)
    assert (left.teacher.kind, right.teacher.kind) == ("none", "reference")
    assert (left.seeding.forced_share, right.seeding.forced_share) == (0, fork.share)
    assert left.limits == right.limits
    same = {"teacher": left.teacher, "seeding": left.seeding}
    assert right.model_copy(update=same) == left
    step = PastRun.open(taught).checkpoint().name
    for branch in (WITHOUT, WITH):
        kept = tmp_path / "fork" / branch / "checkpoints" / step / "model.safetensors"
        assert kept.read_bytes() == (taught / "checkpoints" / step / kept.name).read_bytes()
    with pytest.raises(ForkError, match="move it away"):
        open_fork(taught, tmp_path / "fork", flops=2 * budget)
    assert open_fork(taught, tmp_path / "fork") == fork
    shutil.copytree(taught, tmp_path / "other")
    (tmp_path / "other" / CONFIG).write_text(
        to_toml(fork.run.config.model_copy(update={"seed": 9}))
    )
    with pytest.raises(ForkError, match="other settings"):
        open_fork(tmp_path / "other", tmp_path / "fork")


def test_a_teacher_with_nothing_for_these_tasks_ends_in_words(
    taught: Path, budget: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    shutil.copytree(taught, run)
    monkeypatch.setattr(ReferenceTeacher, "attempts", lambda self, task, n, start=0: [])
    found = run_fork(open_fork(run, flops=budget / 4), lambda branch: unwatched)
    assert found["upper95"] is None
    assert "it has nothing verified" in found["why"]
    judged = json.loads((run / "summary.json").read_text())["graduation"]
    assert judged["criteria"]["fork"] is None
    assert judged["reasons"]["fork"] == found["why"]


def test_a_run_that_nobody_taught_or_that_has_no_checkpoint_is_not_forked(
    micro_tasks: Path, micro_student: Path, tmp_path: Path, taught: Path
) -> None:
    alone = ("teacher.kind=none", "seeding.demonstrations=0", "limits.steps=1")
    climb(short_settings(micro_tasks, micro_student, *alone), tmp_path / "alone")
    with pytest.raises(ForkError, match="no teacher"):
        open_fork(tmp_path / "alone")
    shutil.copytree(taught, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    with pytest.raises(ForkError, match="no checkpoint"):
        open_fork(tmp_path / "run")
    assert not (tmp_path / "run" / "fork").exists()


def test_forcing_needs_a_teacher_that_demonstrates() -> None:
    for settings in (["teacher.kind=none"], ["ladder.rungs=[0, 1]"]):
        with pytest.raises(ConfigError, match="forced_share"):
            load_config("default", ["seeding.forced_share=0.1", *settings])


@pytest.mark.slow
def test_a_fork_that_was_cut_off_ends_as_one_that_was_not(
    forked: Path, taught: Path, budget: float, tmp_path: Path
) -> None:
    shutil.copytree(taught, tmp_path / "run")
    run_fork(open_fork(tmp_path / "run", flops=budget), lambda branch: unwatched)
    for branch in (WITHOUT, WITH):
        with (
            Ledger.open(tmp_path / "run" / "fork" / branch) as whole,
            Ledger.open(forked / "fork" / branch) as resumed,
        ):
            assert whole.digest() == resumed.digest()
    told = (tmp_path / "run" / "fork" / "fork.json").read_text()
    assert told == (forked / "fork" / "fork.json").read_text()

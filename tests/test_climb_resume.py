"""Nothing is lost: a climb killed at any instant ends as the undisturbed one, bit for bit."""

from __future__ import annotations

import gzip
import json
import random
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from micro_climber import left_in
from micro_world import short_settings
from sandbox_flaky import FlakySandbox
from sittings import sit
from toprope.climb.run import climb
from toprope.grading import Grader
from toprope.grading.verdict import attempt_key
from toprope.harness import lines
from toprope.ledger.store import Ledger
from toprope.sandbox import Sandbox, open_sandbox
from toprope.tasks import load_taskset
from toprope.terms import Outcome

KILLED = -signal.SIGPROF

# In the order in which a climb comes to them: after each phase, and between the steps of
# an iteration's end (episodes, checkpoint's rename, metrics, the ledger's commit, pruning).
POINTS = (
    "toprope.climb.measuring.measure:prove_all",
    "toprope.climb.measuring.measure:evaluate",
    "toprope.climb.measuring.measure:cold_test",
    "toprope.climb.measuring.measure:protocol_granted",
    "toprope.climb.rundir:RunDir.save_episodes",
    "toprope.climb.rundir:RunDir.add_metrics",
    "toprope.ledger.store:Ledger.commit",
    "toprope.climb.measuring.measure:pilot",
    "toprope.climb.training.learner:Learner.imitate",
    "toprope.climb.help.helping:look_again",
    "toprope.climb.commit:_checkpoint",
    "toprope.climb.rundir:RunDir.add_metrics",
    "toprope.climb.commit:_prune",
    "toprope.climb.episodes.play:Player.play",
    "toprope.climb.books:record#2",
    "toprope.climb.training.learner:Learner.reinforce",
    "toprope.climb.measuring.measure:evaluate_dev",
    "toprope.climb.commit:_checkpoint",
    "toprope.climb.measuring.measure:frozen_base",
    "toprope.climb.measuring.graduation:judge",
    "toprope.ledger.store:Ledger.commit",
)


@pytest.fixture(scope="module")
def whole(micro_tasks: Path, micro_student: Path, tmp_path_factory: Any) -> dict[str, Any]:
    """The undisturbed climb, what it left, and the processor time it took."""
    folder = tmp_path_factory.mktemp("whole")
    (found,) = sit(folder, micro_tasks, micro_student, "")
    assert found["sittings"][0]["status"] == 0
    return {"run": folder / "0", "left": found["left"], "cpu_s": found["sittings"][0]["cpu_s"]}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    opened = open_sandbox(workers=2)
    yield opened
    opened.close()


def test_kills_after_every_phase_and_around_the_commit_change_nothing(
    whole: dict[str, Any], micro_tasks: Path, micro_student: Path, tmp_path: Path
) -> None:
    (found,) = sit(tmp_path, micro_tasks, micro_student, *POINTS, "")
    ends = {at["end"]: at["status"] for at in found["sittings"]}
    assert ends == {
        **dict.fromkeys(POINTS, -signal.SIGKILL),
        "": 0,
    }  # every point was come to, and fatal
    assert found["left"] == whole["left"]


@pytest.mark.slow
def test_kills_at_random_moments_one_after_another_change_nothing(
    whole: dict[str, Any], micro_tasks: Path, micro_student: Path, tmp_path: Path
) -> None:
    rng = random.Random(0)
    moments = [f"{rng.uniform(0.05, 0.3) * whole['cpu_s']:.3f}" for _ in range(6)]
    (found,) = sit(tmp_path, micro_tasks, micro_student, *moments, "")
    killed = [at["status"] for at in found["sittings"]].count(KILLED)
    assert killed >= 2  # the later ones may find the climb done
    assert found["left"] == whole["left"]


KILLS = (
    "toprope.climb.training.learner:Learner.imitate",
    "toprope.climb.commit:_checkpoint",
    "toprope.climb.training.learner:Learner.reinforce#2",
    "toprope.climb.measuring.measure:frozen_base",
)


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        "student.lora_rank=8 seeding.learning_rate=2e-2 climbing.learning_rate=1e-2",
        pytest.param('student.dialect="rewrite"', marks=pytest.mark.slow),
    ],
)
def test_kills_change_nothing_with_adapters_or_along_drafts(
    settings: str, micro_tasks: Path, micro_student: Path, tmp_path: Path
) -> None:
    found = sit(tmp_path, micro_tasks, micro_student, "", "--", *KILLS, "", settings=settings)
    statuses = [at["status"] for at in found[1]["sittings"]]
    assert statuses == [*[-signal.SIGKILL] * len(KILLS), 0]
    assert found[1]["left"] == found[0]["left"]
    if "lora" in settings:
        (state,) = sorted((tmp_path / "0" / "checkpoints").glob("*/optimiser.safetensors"))[-1:]
        kept = load_file(state)
        assert any(name.endswith(".high") and value.any() for name, value in kept.items())
        assert kept["exp_avg"].any()  # reinforcement learning took steps


@pytest.mark.slow
def test_a_kill_at_any_of_twenty_random_moments_changes_nothing(
    whole: dict[str, Any], micro_tasks: Path, micro_student: Path, tmp_path: Path
) -> None:
    killed, rng = 0, random.Random(1)
    moments = [f"{rng.uniform(0.05, 0.95) * whole['cpu_s']:.3f}" for _ in range(20)]
    ends = [end for moment in moments for end in ("--", moment, "")][1:]
    climbs = sit(tmp_path, micro_tasks, micro_student, *ends)
    for found, moment in zip(climbs, moments, strict=True):
        assert found["sittings"][1]["status"] == 0
        assert found["left"] == whole["left"], f"killed after {moment} s"
        killed += found["sittings"][0]["status"] == KILLED
    assert killed >= 15


def test_a_finished_run_is_left_as_it_is(
    whole: dict[str, Any], micro_tasks: Path, micro_student: Path, sandbox: Sandbox
) -> None:
    again = climb(short_settings(micro_tasks, micro_student), whole["run"], sandbox=sandbox)
    assert again["status"] == "finished"
    assert again["stop_reason"] == "6 iterations were asked for"
    assert left_in(whole["run"]) == whole["left"]


def test_recoverable_faults_in_15_percent_of_grading_calls_change_nothing(
    whole: dict[str, Any],
    micro_tasks: Path,
    micro_student: Path,
    sandbox: Sandbox,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("toprope.climb.start.Grader", partial(Grader, retries=5))
    flaky = FlakySandbox(sandbox, rate=0.15)
    summary = climb(short_settings(micro_tasks, micro_student), tmp_path / "run", sandbox=flaky)
    assert flaky.faults > 10
    assert summary["integrity"]["infra"] == 0
    assert left_in(tmp_path / "run") == whole["left"]


def test_permanent_faults_drop_out_of_their_group_and_touch_nothing_else(
    whole: dict[str, Any], micro_tasks: Path, micro_student: Path, sandbox: Sandbox, tmp_path: Path
) -> None:
    episode = failure_in_the_cold_test(whole["run"])
    task = load_taskset(micro_tasks).by_id(episode["task_id"])
    doomed = attempt_key(task, lines.parse(episode["text"], task))
    run = tmp_path / "run"
    flaky = FlakySandbox(sandbox, permanent=(doomed,))
    summary = climb(short_settings(micro_tasks, micro_student), run, sandbox=flaky)
    with Ledger.open(run) as ledger, Ledger.open(whole["run"]) as clean:
        ours, theirs = measured(ledger), measured(clean)
        placed = [move for move in ledger.transitions(task.id) if move.iteration == 0]
    lost = {id_ for id_, outcome in ours.items() if outcome == Outcome.INFRA}
    again = ours.keys() - theirs.keys()  # what was drawn once more
    same = [e for e in episodes(run, 0) if e["task_id"] == task.id]
    same_text = {e["id"] for e in same if e["text"] == episode["text"]}
    assert lost == same_text
    assert len(again) == sum(id_.startswith("cold/") for id_ in lost - again) > 0
    assert {id_: ours[id_] for id_ in theirs} == {**theirs, **dict.fromkeys(lost - again, "infra")}
    assert not (placed and lost & again)  # what was lost is no evidence of a failure
    assert summary["integrity"]["infra"] >= len(lost)
    assert summary["status"] == "finished"


def failure_in_the_cold_test(run: Path) -> dict[str, Any]:
    """Return an episode of the cold test that failed, well-formed."""
    return next(
        e
        for e in episodes(run, 0)
        if e["id"].startswith("cold/") and e["verdict"]["outcome"] == "failed"
    )


def episodes(run: Path, iteration: int) -> list[dict[str, Any]]:
    shard = run / "episodes" / f"iteration-{iteration:06d}.jsonl.gz"
    return [json.loads(line) for line in gzip.decompress(shard.read_bytes()).splitlines()]


def measured(ledger: Ledger) -> dict[str, str]:
    """Return the outcome of every episode of iteration 0, before anything was learnt."""
    return dict(ledger.db.execute("SELECT episode_id, outcome FROM evidence WHERE iteration = 0"))

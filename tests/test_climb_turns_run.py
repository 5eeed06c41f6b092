"""A short climb over turns: what it samples is what it learns from, and a kill changes nothing."""

from __future__ import annotations

import gzip
import json
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from micro_climber import left_in
from sittings import sit
from tiny_models import plain_logprobs
from toprope.climb.comparing.subjects import ModelSubject, find_subjects
from toprope.climb.episodes.play import Plan
from toprope.climb.export import export_run
from toprope.climb.run import climb
from toprope.grading import Grader
from toprope.harness.turns.stream import laid_out
from toprope.ledger.store import Ledger
from toprope.policy.load import load_model
from toprope.report.story import story
from toprope.sandbox import Sandbox, open_sandbox
from toprope.tasks import load_taskset
from toprope.terms import Observed, Outcome
from turn_world import SHORTER, TURNS, turn_settings, write_tasks, write_turn_student


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
    """A student, and an undisturbed short climb with it."""
    folder = tmp_path_factory.mktemp("turns")
    student = write_turn_student(folder / "student", steps=200)
    taskset = write_tasks(folder / "turns.jsonl")
    run = folder / "whole"
    summary = climb(turn_settings(taskset, student), run, sandbox=sandbox)
    return World(taskset, student, run, summary)


def episodes(run: Path, iteration: int) -> list[dict[str, Any]]:
    shard = run / "episodes" / f"iteration-{iteration:06d}.jsonl.gz"
    return [json.loads(line) for line in gzip.decompress(shard.read_bytes()).splitlines()]


def test_a_climb_over_turns_finds_cold_tasks_seeds_them_and_trains_on_groups(world: World) -> None:
    summary = world.summary
    assert summary["status"] == "finished"
    assert summary["cold_start"]["cold"] >= 1
    assert summary["integrity"]["infra"] == 0
    metrics = [json.loads(line) for line in (world.run / "metrics.jsonl").open()]
    learnt = [row["learn"] for row in metrics if "learn" in row]
    assert learnt
    assert all(abs(row["mismatch_kl"]) < 1e-3 for row in learnt)  # it learns what was sampled
    with Ledger.open(world.run) as ledger:
        seeds = ledger.db.execute("SELECT tokens FROM seeds WHERE rung = '6'").fetchall()
        dropped = ledger.last_note("dropped_demonstrations")
    assert dropped == 0
    assert [tokens for (tokens,) in seeds] == [22] * len(seeds)  # own ones
    assert seeds


def test_sampled_tokens_are_those_of_the_policy_on_the_whole_context(world: World) -> None:
    model = load_model(world.student, dtype="float32")
    checked = 0
    for one in episodes(world.run, 0)[:12]:
        observed = tuple(Observed(o["after"], tuple(o["ids"])) for o in one["observed"])
        laid = laid_out(tuple(one["sampled_ids"]), tuple(one["logprobs"]), observed)
        with torch.no_grad():
            plain = plain_logprobs(model, tuple(one["prompt_ids"]), laid.ids)
        own = torch.tensor(laid.own)
        assert torch.allclose(plain[own], torch.tensor(laid.logprobs)[own], atol=1e-4)
        checked += len(observed)
    assert checked


def test_show_prints_the_turns_of_an_episode(world: World) -> None:
    told = story(world.run, episodes(world.run, 0)[0]["id"])
    assert "[turn 1, " in told
    assert "[shown]" in told


POINTS = (
    "toprope.climb.episodes.turndeeds:Deeds.done#5",
    "toprope.climb.episodes.turnplay:TurnPlayer.replay",
    "toprope.climb.training.learner:Learner.reinforce",
)


@pytest.mark.slow
def test_a_climb_over_turns_that_is_killed_ends_as_the_undisturbed_one(
    world: World, tmp_path: Path
) -> None:
    settings = " ".join([*SHORTER, *TURNS])
    (found,) = sit(tmp_path, world.taskset, world.student, *POINTS, "", settings=settings)
    statuses = [at["status"] for at in found["sittings"]]
    assert statuses == [*[-signal.SIGKILL] * len(POINTS), 0]
    assert found["left"] == left_in(world.run)


def test_an_exported_student_acts_over_turns_wherever_it_is_measured(
    world: World, sandbox: Sandbox, tmp_path: Path
) -> None:
    export_run(world.run, tmp_path / "out")
    told = json.loads((tmp_path / "out" / "harness.json").read_text())
    assert told["dialect"] == "lines, over turns"
    (subject,) = find_subjects([str(tmp_path / "out")], say=lambda _: None)
    assert isinstance(subject, ModelSubject)
    assert subject.config.turns == turn_settings(world.taskset, world.student).turns
    task = load_taskset(world.taskset).tasks[0]
    plans = [Plan(task, "eval", 2)]
    (verdicts,) = subject.play(plans, Grader(sandbox), seed=0, temperature=1.0)
    assert Outcome.INFRA not in {v.outcome for v in verdicts}
    assert subject.sampled_tokens >= 2 * 20  # of three turns each

"""The whole loop on the micro world: cold without a teacher, climbing after it went quiet."""

from __future__ import annotations

import gzip
import json
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from micro_world import settings
from toprope.climb.run import climb
from toprope.ledger import queries
from toprope.ledger.rows import AFTER_SEEDING, COLD
from toprope.ledger.store import LEDGER_NAME, Ledger
from toprope.ledger.summary import recompute
from toprope.terms import State


@dataclass(frozen=True)
class Run:
    folder: Path
    summary: dict[str, Any]

    def heldout(self, point: str) -> float:
        rate: float = self.summary["heldout"][point]["all"]["pass@1"]
        return rate


@pytest.fixture(scope="module")
def helped(micro_tasks: Path, micro_student: Path, tmp_path_factory: Any) -> Run:
    """The climb with the reference as its teacher."""
    folder = tmp_path_factory.mktemp("micro") / "helped"
    return Run(folder, climb(settings(micro_tasks, micro_student), folder))


@pytest.fixture(scope="module")
def alone(micro_tasks: Path, micro_student: Path, tmp_path_factory: Any) -> Run:
    """The same climb without a teacher."""
    folder = tmp_path_factory.mktemp("micro") / "alone"
    no_help = ['teacher.kind="none"', "seeding.demonstrations=0", "limits.steps=12"]
    config = settings(micro_tasks, micro_student, *no_help)
    return Run(folder, climb(config, folder))


def test_at_first_the_model_keeps_to_the_form_and_solves_nothing(helped: Run) -> None:
    cold = helped.summary["cold_start"]
    assert (cold["tested"], cold["draws"]) == (32, 16)
    assert cold["cold"] >= 30
    assert cold["diagnosis"]["malformed"] == 0
    assert helped.heldout("before") < 0.02


def test_without_a_teacher_nothing_thaws(alone: Run) -> None:
    assert alone.summary["thawed"]["count"] <= 1
    assert alone.heldout("after") < 0.02
    assert alone.summary["teacher"]["calls"] == 0
    assert alone.summary["teacher"]["quiet_reason"] == "no_teacher"
    with Ledger.open(alone.folder) as ledger:
        states = ledger.counts()
        pilots = queries.evidence(ledger.db, purposes=["pilot"])
    assert states[State.COLD] >= 75  # unseen tasks were drawn as well, and found cold
    assert len(pilots) > 500  # and it was not for want of trying


def test_with_a_teacher_most_tested_tasks_become_live(helped: Run) -> None:
    with Ledger.open(helped.folder) as ledger:
        now = Counter(ledger.states()[row.task_id] for row in ledger.tasks() if row.tested)
    assert now[State.LIVE] + now[State.MASTERED] >= 26
    thawed = helped.summary["thawed"]
    assert thawed["by_rung"]["6"] == {"given": 16, "thawed": 16}
    assert thawed["unseeded_control"]["thawed"] >= 6  # by transfer, never seeded
    assert thawed["frozen_base"]["thawed"] == 0


def test_held_out_success_rises_after_the_teacher_is_quiet(helped: Run) -> None:
    assert helped.heldout("before") < helped.heldout("after_seeding")
    gain = helped.summary["heldout"]["rl_gain"]["all"]
    assert gain["gain"] > 0.15
    assert gain["ci95"][0] > 0.05
    assert helped.heldout("after") > 2 * helped.summary["heldout"]["mutator"]["all"]


def test_no_teacher_token_enters_a_step_of_reinforcement(helped: Run) -> None:
    with Ledger.open(helped.folder) as ledger:
        taught = {i for (i,) in ledger.db.execute("SELECT DISTINCT iteration FROM seeds")}
        learnt = {
            i for (i,) in ledger.db.execute("SELECT iteration FROM meters WHERE phase = 'train'")
        }
        seeded_at = {row.iteration for row in queries.evidence(ledger.db, purposes=[AFTER_SEEDING])}
    assert taught == {2}
    assert len(learnt) >= 15
    assert max(taught) <= min(seeded_at) < min(learnt)
    windows = helped.summary["teacher"]["share_by_window"]
    assert windows[0]["share"] > 0
    assert [window["share"] for window in windows[1:]] == [0.0] * (len(windows) - 1)
    assert {window["reason"] for window in windows[1:]} <= {"nothing_cold", "budget"}


def test_the_summary_follows_from_the_ledger_alone(helped: Run, tmp_path: Path) -> None:
    shutil.copy(helped.folder / LEDGER_NAME, tmp_path / LEDGER_NAME)
    assert recompute(tmp_path) == helped.summary
    assert json.loads((helped.folder / "summary.json").read_text()) == helped.summary


def test_every_number_has_its_episode_and_every_iteration_its_row(helped: Run) -> None:
    shards = sorted((helped.folder / "episodes").glob("*.gz"))
    kept = [json.loads(e) for s in shards for e in gzip.decompress(s.read_bytes()).splitlines()]
    with Ledger.open(helped.folder) as ledger:
        booked = {row.episode_id: row for row in queries.evidence(ledger.db)}
    assert {e["id"] for e in kept} == set(booked)
    for episode in kept:
        row = booked[episode["id"]]
        assert row.outcome == episode["verdict"]["outcome"]
        assert row.sampled_tokens == len(episode["sampled_ids"]) == len(episode["logprobs"])
    assert sum(row.purpose == COLD for row in booked.values()) == 32 * 16
    rows = [json.loads(line) for line in (helped.folder / "metrics.jsonl").read_text().splitlines()]
    assert [row["iteration"] for row in rows] == list(range(22))
    sampled_as_learnt = [row["learn"] for row in rows if "learn" in row]
    assert all(abs(learn["weight_max"] - 1) < 1e-4 for learn in sampled_as_learnt)


def test_the_meters_add_up_to_what_was_sampled(helped: Run) -> None:
    compute = helped.summary["compute"]
    with Ledger.open(helped.folder) as ledger:
        rows = queries.evidence(ledger.db)
    assert compute["sampled_tokens"] == sum(row.sampled_tokens for row in rows)
    assert compute["episodes"] == len(rows)
    assert compute["flops"]["sample"] > compute["flops"]["eval"] > 0 < compute["flops"]["train"]

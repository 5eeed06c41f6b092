"""A whole climb over turns: cold tasks are seeded, and reinforcement climbs on from there."""

from __future__ import annotations

from pathlib import Path

import pytest

from micro_world import SHORT
from toprope.climb.run import climb
from toprope.ledger.store import Ledger
from turn_world import TURNS, settings, write_tasks, write_turn_student

pytestmark = pytest.mark.slow  # trains a student for a minute, and climbs for another

WHOLE = (
    "cold_start.tasks=24",
    "seeding.demonstrations=8",
    "seeding.epochs=2",
    "seeding.pilot_tasks=12",
    "climbing.tasks=8",
    "climbing.group=8",
    "evaluation.heldout_tasks=12",
    "evaluation.before_draws=4",
    "evaluation.seeded_draws=4",
    "evaluation.after_draws=4",
    "evaluation.dev_every=0",
    "limits.steps=16",
)


def test_over_turns_reinforcement_learning_lifts_the_held_out_pass_rate(tmp_path: Path) -> None:
    student = write_turn_student(tmp_path / "student", steps=400)
    tasks = write_tasks(tmp_path / "turns.jsonl")
    run = tmp_path / "run"
    summary = climb(settings(tasks, student, *SHORT, *TURNS, *WHOLE), run)
    before = summary["heldout"]["before"]["all"]["pass@1"]
    after = summary["heldout"]["after"]["all"]["pass@1"]
    assert summary["cold_start"]["cold"] >= 2
    assert after > before + 0.15, (before, after)
    with Ledger.open(run) as ledger:
        assert ledger.last_note("dropped_demonstrations") == 0

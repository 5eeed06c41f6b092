"""What a run's results cost, from a small ledger whose every number is worked out by hand."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from toprope.cli.main import build_app
from toprope.ledger import rows
from toprope.ledger.rows import Evidence, Meter, TaskRow, TeacherCall
from toprope.ledger.states import Transition
from toprope.ledger.store import LEDGER_NAME, Ledger
from toprope.report.economics import numbers_table, run_numbers
from toprope.terms import Mode, Outcome, Split, State, Tier

HELD = [f"h{i}" for i in range(8)]
POOL = [f"t{i}" for i in range(4)]


@pytest.fixture
def ledger(tmp_path):
    with Ledger.open(tmp_path / LEDGER_NAME, create=True) as opened:
        opened.register_tasks(TaskRow(t, Split.TRAIN, None, t, i) for i, t in enumerate(POOL))
        opened.register_tasks(
            TaskRow(t, Split.HELDOUT, Tier.NEAR, t, i) for i, t in enumerate(HELD)
        )
        yield opened


def draw(ledger, purpose, tasks, passed, n=4, iteration=0, reverified=None):
    ledger.record_evidence(
        Evidence(
            f"{purpose}/{iteration}/{task}/{i}", iteration, purpose, task, 0, rows.STUDENT,
            Mode.PLAIN, "0", i, Outcome.PASSED if i < passed else Outcome.FAILED,
            float(i < passed), reverified, 200, 15,
        )
        for task in tasks
        for i in range(n)
    )  # fmt: skip


def spend(ledger, iteration, **flops):
    read = {"teacher": 50}  # by a white-box teacher, beside its calls
    ledger.record_meters([Meter(iteration, p, read.get(p, 1), 1, 1, f) for p, f in flops.items()])
    ledger.record_seconds(iteration, {p: f / 10 for p, f in flops.items()})


def whole_run(ledger):
    """Cold test, a seed in iteration 1, RL in 2 and 3; t0 and t1 thaw, t3 was live at once."""
    draw(ledger, rows.BEFORE, HELD, 0)
    draw(ledger, rows.COLD, POOL[:3], 0, 16)
    draw(ledger, rows.COLD, POOL[3:], 1, 16, reverified=False)  # refuted: no reward yet
    spend(ledger, 0, sample=100, eval=5000)
    ledger.record_teacher_calls(
        [TeacherCall(f"c{i}", "t0", "6", 30, 20, 0.0, Outcome.FAILED, False) for i in range(3)]
    )
    cold = [Transition(t, State.UNSEEN, State.COLD, "no success") for t in POOL[:3]]
    ledger.record_transitions(0, cold)
    spend(ledger, 1, seed=40, teacher=60, eval=5000)
    draw(ledger, rows.AFTER_SEEDING, HELD, 1, iteration=2)
    draw(ledger, rows.PILOT, POOL[:2], 2, 8, iteration=2)
    ledger.record_transitions(2, [Transition(t, State.COLD, State.LIVE, "2") for t in POOL[:2]])
    ledger.record_transitions(3, [Transition("t1", State.LIVE, State.COLD, "32 failures")])
    spend(ledger, 2, train=150, eval=5000)
    spend(ledger, 3, train=150)
    draw(ledger, rows.AFTER, HELD, 4, iteration=3)
    for at in range(4):
        ledger.commit(at, at, "base")


def values(tmp_path):
    return {row["name"]: row["value"] for row in run_numbers(tmp_path)}


def test_every_number_of_a_run_is_as_worked_out_by_hand(ledger, tmp_path):
    whole_run(ledger)
    found = values(tmp_path)
    assert found["teacher tokens per thawed task"] == (150 + 50) / 2
    assert found["FLOPs per held-out point, early"] == pytest.approx(200 / 25)
    assert found["s per held-out point, early"] == pytest.approx(20 / 25)
    assert found["FLOPs per held-out point, late"] == pytest.approx(300 / 75)
    shares = [found[f"share of the final score: {who}"] for who in ("base", "seeding", "RL")]
    assert shares == pytest.approx([0.0, 0.25, 0.75])
    assert found["FLOPs to the first reward"] == 350
    assert found["s to the first reward"] == pytest.approx(35)
    assert found["share of the drawn pool ever made learnable"] == pytest.approx(2 / 4)
    assert found["FLOPs per solved task"] == 500  # t1 is cold again
    assert found["s per solved task"] == pytest.approx(50)


def test_what_a_gain_within_noise_cost_is_not_said(ledger, tmp_path):
    draw(ledger, rows.BEFORE, HELD, 1)
    draw(ledger, rows.AFTER_SEEDING, HELD[:1], 2)
    draw(ledger, rows.AFTER_SEEDING, HELD[1:], 1)
    ledger.commit(0, 0, "base")
    row = next(r for r in run_numbers(tmp_path) if r["name"] == "FLOPs per held-out point, early")
    assert (row["value"], row["why"]) == (None, "no gain is shown")


def test_an_empty_run_measures_nothing_and_says_why(ledger, tmp_path):
    found = run_numbers(tmp_path)
    assert [row["value"] for row in found] == [None] * len(found)
    assert all(row["why"] for row in found)
    assert numbers_table(found).count("not measured") == len(found)


def test_the_verb_prints_them(ledger, tmp_path):
    whole_run(ledger)
    app, call = build_app("numbers"), CliRunner()
    told = json.loads(call.invoke(app, ["numbers", str(tmp_path), "--json"]).output)
    assert told == run_numbers(tmp_path)
    spoken = call.invoke(app, ["numbers", str(tmp_path)]).output
    assert "teacher tokens per thawed task" in spoken
    assert "100 tokens" in spoken

"""The summary against small ledgers whose every number is worked out by hand."""

from __future__ import annotations

import shutil

import pytest

from toprope.ledger import rows
from toprope.ledger.rows import Evidence, Meter, RungUse, Seed, TaskRow, TeacherCall
from toprope.ledger.schema import LedgerError
from toprope.ledger.states import Transition
from toprope.ledger.store import Ledger
from toprope.ledger.summary import recompute, summarise
from toprope.terms import Mode, Outcome, Split, State, Tier

TOP_LEVEL = [
    *("schema", "run", "status", "stop_reason", "versions", "device", "walls", "seed"),
    *(
        "student",
        "coin",
        "taskset",
        "tasks",
        "cold_start",
        "states",
        "pool",
        "thawed",
        "heldout",
        "teacher",
    ),
    *("forgetting", "graduation", "compute", "integrity"),
]


@pytest.fixture
def ledger(tmp_path):
    with Ledger.open(tmp_path / "ledger.sqlite", create=True) as opened:
        train = [TaskRow(f"t{i}", Split.TRAIN, None, f"f{i}", i) for i in range(4)]
        near = [
            TaskRow(f"n{i}", Split.HELDOUT, Tier.NEAR, f"n{i}", i, mutator_p=0.02 * i)
            for i in range(2)
        ]
        far = [TaskRow("x0", Split.HELDOUT, Tier.FAR, "x0", 2, mutator_p=0.04)]
        opened.register_tasks([*train, *near, *far])
        yield opened


def draw(ledger, purpose, task, passed, n, *, iteration=0, infra=0, **changes):
    fields = {"policy": rows.STUDENT, "mode": Mode.PLAIN, "version": 0, "reverified": None}
    fields.update(changes)
    for i in range(n + infra):
        outcome = Outcome.INFRA if i >= n else Outcome.PASSED if i < passed else Outcome.FAILED
        ledger.record_evidence(
            [
                Evidence(
                    f"{purpose}/{iteration}/{task}/{i}/{fields['mode']}",
                    iteration,
                    purpose,
                    task,
                    fields["version"],
                    fields["policy"],
                    fields["mode"],
                    "0",
                    i,
                    outcome,
                    float(i < passed),
                    fields["reverified"],
                    200,
                    15,
                )
            ]
        )


def test_an_empty_run_has_every_key_and_claims_nothing(ledger):
    summary = summarise(ledger.db)
    assert list(summary) == TOP_LEVEL
    assert summary["tasks"] == {
        "train": 4, "dev": 0, "heldout": 3, "broken": 0, "evaluated": None,
    }  # fmt: skip
    assert summary["states"]["unseen"] == 4
    heldout = summary["heldout"]
    assert [heldout[p] for p in ("before", "after_seeding", "after", "seed_gain")] == [None] * 4
    assert summary["cold_start"]["share"] is None
    assert summary["thawed"]["count"] is None
    assert summary["teacher"]["share_by_window"] == []
    assert summary["integrity"]["canary_passes"] is None
    assert summary["compute"]["episodes_per_second"] is None


def test_cold_start_counts_tested_tasks_and_prints_its_power(ledger):
    for i in range(3):
        draw(ledger, rows.COLD, f"t{i}", passed=int(i == 2), n=16)
    draw(ledger, rows.GRANTED, "t0", passed=3, n=16, mode=Mode.GRANTED)
    draw(ledger, rows.GRANTED, "t1", passed=0, n=16, mode=Mode.GRANTED)
    ledger.note(0, "diagnosis", {"malformed": 2})
    cold = summarise(ledger.db)["cold_start"]
    assert (cold["tested"], cold["draws"], cold["cold"]) == (3, 16, 2)
    assert cold["share"] == pytest.approx(2 / 3)
    assert cold["ci95"] == [0.0, 1.0]
    assert cold["power_at_05"] == pytest.approx(0.95**16)
    assert (cold["protocol_granted_live"], cold["protocol_granted_tested"]) == (1, 2)
    assert cold["diagnosis"] == {"malformed": 2}
    assert cold["undecided"] == 0


@pytest.mark.parametrize("planned", [16, None])
def test_a_task_with_too_few_draws_was_not_found_cold(ledger, planned):
    draw(ledger, rows.COLD, "t0", passed=0, n=16)
    draw(ledger, rows.COLD, "t1", passed=0, n=15, infra=2)  # made up for, and lost again
    draw(ledger, rows.COLD, "t2", passed=1, n=15, infra=1)  # decided all the same
    draw(ledger, rows.COLD, "t3", passed=0, n=0, infra=32)
    if planned:
        ledger.commit(0, 0, "base")
        ledger.record_facts({"cold_draws": planned})
    cold = summarise(ledger.db)["cold_start"]
    assert (cold["tested"], cold["cold"], cold["undecided"], cold["draws"]) == (2, 1, 2, 16)
    assert cold["share"] == 0.5


def test_draws_lost_in_every_task_do_not_lower_what_a_cold_task_needs(ledger):
    for i in range(4):
        draw(ledger, rows.COLD, f"t{i}", passed=0, n=15, infra=2)
    ledger.commit(0, 0, "base")
    ledger.record_facts({"cold_draws": 16})
    cold = summarise(ledger.db)["cold_start"]
    assert (cold["tested"], cold["cold"], cold["undecided"]) == (0, None, 4)


def test_heldout_by_tier_with_infra_apart(ledger):
    for task, passed in (("n0", 0), ("n1", 2), ("x0", 1)):
        draw(ledger, rows.BEFORE, task, passed=0, n=4)
        draw(ledger, rows.AFTER_SEEDING, task, passed=passed // 2, n=4)
        draw(ledger, rows.AFTER, task, passed=passed, n=4, infra=4 * (task == "n1"))
    heldout = summarise(ledger.db)["heldout"]
    after = heldout["after"]
    assert after["near"]["pass@1"] == pytest.approx((0 + 0.5) / 2)
    assert after["near"]["pass@1_infra_failed"] == pytest.approx((0 + 0.25) / 2)
    assert after["all"]["pass@1"] == pytest.approx((0 + 0.5 + 0.25) / 3)
    assert (after["all"]["samples"], after["all"]["tasks"]) == (12, 3)
    assert (after["near"]["k"], after["near"]["pass@k"]) == (4, 0.5)
    assert after["mid"] is None
    assert after["far"]["ci95"] == [0.0, 1.0]
    assert heldout["mutator"] == {
        "near": pytest.approx(0.01),
        "mid": None,
        "far": 0.04,
        "all": pytest.approx(0.02),
    }
    assert heldout["seed_gain"]["near"]["gain"] == pytest.approx(0.25 / 2)
    assert heldout["rl_gain"]["near"]["gain"] == pytest.approx(0.25 / 2)
    assert heldout["rl_gain"]["all"]["gain"] == pytest.approx((0 + 0.25 + 0.25) / 3)
    assert heldout["rl_gain"]["mid"] is None


def test_points_with_more_draws_are_compared_at_the_same_k(ledger):
    draw(ledger, rows.AFTER_SEEDING, "n0", passed=1, n=4)
    draw(ledger, rows.AFTER, "n0", passed=2, n=8)
    heldout = summarise(ledger.db)["heldout"]
    assert heldout["after"]["near"]["k"] == heldout["after_seeding"]["near"]["k"] == 4
    assert heldout["after"]["near"]["pass@k"] == pytest.approx(1 - 15 / 70)


def test_a_refuted_success_is_no_success(ledger):
    draw(ledger, rows.AFTER, "n0", passed=4, n=4, reverified=False)
    summary = summarise(ledger.db)
    assert summary["heldout"]["after"]["near"]["pass@1"] == 0.0
    assert summary["integrity"]["reverify_failed"] == 4


def freeze(ledger, *task_ids):
    moves = [Transition(t, State.UNSEEN, State.COLD, "0 of 16") for t in task_ids]
    ledger.record_transitions(0, moves)


def thaw(ledger, iteration, *task_ids):
    moves = [Transition(t, State.COLD, State.LIVE, "2 of 8") for t in task_ids]
    ledger.record_transitions(iteration, moves)


def test_thaws_stand_beside_both_controls_and_their_rungs(ledger):
    freeze(ledger, "t0", "t1", "t2", "t3")
    ledger.mark_never_seeded(["t3"])
    ledger.record_rung_uses([RungUse(1, f"t{i}", "6", 15, 0, 0, 16) for i in (0, 1)])
    thaw(ledger, 2, "t0", "t2", "t3")
    ledger.record_rung_uses([RungUse(5, "t2", "6", 15, 0, 0, 16)])  # after its thaw
    draw(ledger, rows.GRANTED, "t2", passed=1, n=16, mode=Mode.GRANTED)
    for task, passed in (("t0", 2), ("t1", 1), ("t3", 0)):
        draw(ledger, rows.FROZEN_BASE, task, passed=passed, n=8, policy=rows.BASE)
    thawed = summarise(ledger.db)["thawed"]
    assert (thawed["count"], thawed["of_cold"], thawed["excluded_protocol_granted"]) == (2, 4, 1)
    assert thawed["unseeded_control"] == {"thawed": 1, "of": 1, "ci95": [0.0, 1.0]}
    base = thawed["frozen_base"]
    assert (base["thawed"], base["of"]) == (1, 3)
    assert base["ci95"][0] == 0.0 < 1 / 3 < base["ci95"][1] <= 1.0
    assert thawed["by_rung"] == {"0": {"given": 2, "thawed": 2}, "6": {"given": 2, "thawed": 1}}


def pool(ledger, functions, bugs):
    """Register and freeze `bugs` training tasks of each of `functions` source functions."""
    rows_ = [
        TaskRow(f"p{at}/{bug}", Split.TRAIN, None, f"p{at}", 10 + at * bugs + bug)
        for at in range(functions)
        for bug in range(bugs)
    ]
    ledger.register_tasks(rows_)
    freeze(ledger, *(row.task_id for row in rows_))
    return [row.task_id for row in rows_]


def test_thaws_of_one_function_are_one_sample_in_every_thaw_interval(ledger):
    tasks = pool(ledger, functions=2, bugs=8)
    ledger.mark_never_seeded(tasks)
    for task in tasks:
        passed = 2 * task.startswith("p0")
        draw(ledger, rows.FROZEN_BASE, task, passed=passed, n=8, policy=rows.BASE)
    thaw(ledger, 1, *(task for task in tasks if task.startswith("p0")))
    thawed = summarise(ledger.db)["thawed"]
    # Resamples of two functions, one thawed whole: all, half or nothing; over 16 tasks as
    # samples of their own the interval would be about .28 to .72.
    assert (thawed["count"], thawed["of_cold"], thawed["ci95"]) == (8, 16, [0.0, 1.0])
    half = {"thawed": 8, "of": 16, "ci95": [0.0, 1.0]}
    assert thawed["unseeded_control"] == thawed["frozen_base"] == half


def test_no_thaw_at_all_is_bounded_by_the_number_of_functions(ledger):
    tasks = pool(ledger, functions=4, bugs=5)
    for task in tasks:
        draw(ledger, rows.FROZEN_BASE, task, passed=0, n=8, policy=rows.BASE)
    thawed = summarise(ledger.db)["thawed"]
    # The exact two-sided bound of 0 of 4: 1 - .025^(1/4), not that of 0 of 20.
    expected = [0.0, pytest.approx(1 - 0.025 ** (1 / 4))]
    assert thawed["ci95"] == thawed["frozen_base"]["ci95"] == expected
    assert thawed["unseeded_control"] is None


def test_a_task_that_freezes_and_thaws_again_thawed_once(ledger):
    freeze(ledger, "t0")
    thaw(ledger, 1, "t0")
    ledger.record_transitions(2, [Transition("t0", State.LIVE, State.COLD, "regression")])
    thaw(ledger, 3, "t0")
    ledger.record_transitions(4, [Transition("t1", State.UNSEEN, State.LIVE, "1 of 8")])
    assert summarise(ledger.db)["thawed"]["count"] == 1


def test_teacher_share_per_window_and_why_it_is_quiet(ledger):
    ledger.record_meta(window=2, teacher="recorded")
    ledger.record_teacher_calls(
        [TeacherCall(f"c{i}", "t0", "6", 100, 50, 0.01, Outcome.PASSED, False) for i in range(3)]
    )
    for iteration in range(5):
        ledger.record_meters(
            [
                Meter(iteration, "seed", trained_tokens=20 * (iteration == 0)),
                Meter(iteration, "train", trained_tokens=80 * (iteration > 0)),
            ]
        )
        if iteration:
            ledger.note(
                iteration, "quiet", {"reason": "nothing_cold" if iteration > 3 else "budget"}
            )
        else:
            ledger.record_seeds([Seed(0, 0, "t0", "6", "a", "recorded", 10)] * 2)
        ledger.commit(iteration, iteration, "step")
    teacher = summarise(ledger.db)["teacher"]
    assert (teacher["name"], teacher["calls"], teacher["tokens"]) == ("recorded", 3, 450)
    assert teacher["cost_usd"] == pytest.approx(0.03)
    assert [
        (w["first"], w["last"], w["share"], w["reason"]) for w in teacher["share_by_window"]
    ] == [
        (0, 1, pytest.approx(20 / 100), None),
        (2, 3, 0.0, "budget"),
        (4, 4, 0.0, "nothing_cold"),
    ]
    assert (teacher["quiet_reason"], teacher["last_used_iteration"]) == ("nothing_cold", 0)


def test_a_window_of_the_closing_measurement_alone_is_as_quiet_as_before(ledger):
    ledger.record_meta(window=2, teacher="recorded")
    for iteration in range(3):
        if iteration == 1:
            ledger.note(iteration, "quiet", {"reason": "nothing_cold"})
        ledger.record_meters([Meter(iteration, "train", trained_tokens=80)])
        ledger.commit(iteration, iteration, "step")
    windows = summarise(ledger.db)["teacher"]["share_by_window"]
    assert [(w["first"], w["reason"]) for w in windows] == [
        (0, "nothing_cold"),
        (2, "nothing_cold"),
    ]
    ledger.record_seeds([Seed(3, 3, "t0", "6", "a", "recorded", 10)])
    ledger.record_meters([Meter(3, "seed", trained_tokens=20)])
    ledger.commit(3, 3, "step")
    ledger.record_meters([Meter(4, "train", trained_tokens=80)])
    ledger.commit(4, 4, "step")
    assert [w["reason"] for w in summarise(ledger.db)["teacher"]["share_by_window"]] == [
        "nothing_cold", None, None]  # fmt: skip


def test_compute_folds_phases_into_the_contract(ledger):
    for phase, flops in (("sample", 1.0), ("seed", 2.0), ("train", 3.0), ("eval", 4.0)):
        ledger.record_meters([Meter(1, phase, 10, 5, 2, flops, 8)])
    ledger.record_seconds(1, {"sample": 3.0, "seed": 1.0, "train": 2.0, "checkpoint": 2.0})
    ledger.record_seconds(1, {"other": 2.0})
    compute = summarise(ledger.db)["compute"]
    assert compute["flops"] == {"sample": 1.0, "train": 5.0, "eval": 4.0, "teacher": 0.0}
    assert compute["seconds"]["train"] == 3.0
    assert compute["seconds"]["other"] == 4.0
    assert compute["episodes_per_second"] == 32 / 10


def test_graduation_is_the_newest_judgement(ledger):
    ledger.note(5, "graduation", {"graduated": False, "criteria": {"silence": None}})
    assert summarise(ledger.db)["graduation"] == {
        "graduated": False,
        "iteration": None,
        "criteria": {"silence": None},
        **dict.fromkeys(("reasons", "numbers", "past_teacher")),
    }
    ledger.note(10, "graduation", {"graduated": True, "criteria": {}})
    assert summarise(ledger.db)["graduation"]["iteration"] == 10


def test_the_ledger_file_alone_gives_the_same_summary(ledger, tmp_path):
    draw(ledger, rows.AFTER, "n0", passed=2, n=4)
    ledger.commit(1, 1, "step-000001")
    ledger.record_facts({"run": "first", "status": "finished", "peak_rss_gb": 2.5})
    expected = summarise(ledger.db)
    ledger.close()
    alone = tmp_path / "elsewhere.sqlite"
    shutil.copy(tmp_path / "ledger.sqlite", alone)
    assert recompute(alone) == expected
    assert recompute(tmp_path)["compute"]["peak_rss_gb"] == 2.5


def test_a_missing_run_is_told(tmp_path):
    with pytest.raises(LedgerError, match="does not exist"):
        recompute(tmp_path)

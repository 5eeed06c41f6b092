"""Forks against small ledgers: what is compared, what is not measured, what a judge reads."""

from __future__ import annotations

from statistics import NormalDist

import pytest

from toprope.ledger import fork, graduation, rows
from toprope.ledger.copies import copy_ledger
from toprope.ledger.rows import Evidence, Meter, Seed, TaskRow
from toprope.ledger.statistics import Estimate
from toprope.ledger.store import Ledger
from toprope.ledger.summary import recompute, summarise
from toprope.report.words import closing
from toprope.terms import Mode, Outcome, Split, Tier

AT, HELD = 3, 40


def draw(ledger, passed, n=4, iteration=9, purpose=rows.AFTER):
    ledger.record_evidence(
        Evidence(
            f"{purpose}/{iteration}/h{task}/{i}", iteration, purpose, f"h{task}", 0, rows.STUDENT,
            Mode.PLAIN, "0", i, Outcome.PASSED if i < k else Outcome.FAILED, float(i < k),
            None, 200, 15,
        )
        for task, k in enumerate(passed)
        for i in range(n)
    )  # fmt: skip


def opened(folder):
    folder.mkdir(exist_ok=True)
    ledger = Ledger.open(folder / "ledger.sqlite", create=True)
    ledger.register_tasks(
        [TaskRow(f"h{i}", Split.HELDOUT, Tier.NEAR, f"f{i}", i) for i in range(HELD)]
    )
    ledger.register_tasks([TaskRow("t0", Split.TRAIN, None, "t0", 0)])
    return ledger


def grown(folder, passed, *, seeded=0, flops=10.0, status="finished"):
    """A branch: 900 tokens learned from up to the fork and 1,000 after it, `seeded` of them."""
    ledger = opened(folder)
    ledger.record_seeds([Seed(1, 0, "t0", "6", "a", rows.FRESH, 300)])
    ledger.record_meters([Meter(1, "train", trained_tokens=900, flops=7.0)])
    ledger.record_seeds([Seed(5, 0, "t0", "6", "b", rows.FRESH, seeded)])
    ledger.record_meters([Meter(5, "train", trained_tokens=1000, flops=flops)])
    ledger.record_meters([Meter(5, "eval", flops=1e6), Meter(5, "teacher", flops=1e6)])
    draw(ledger, passed)
    ledger.commit(9, 4, "step-000009")
    ledger.record_facts({"status": status, "stop_reason": "nothing was left"})
    return ledger


@pytest.fixture
def compared(tmp_path):
    def compare(without, forced, *, seeded=100, share=0.1, flops=10.0, **changes):
        with (
            grown(tmp_path / "without", without, **changes) as left,
            grown(tmp_path / "with", forced, seeded=seeded) as right,
        ):
            return fork.compare(left.db, right.db, after=AT, share=share, flops=flops)

    return compare


def test_the_forced_branch_minus_the_other_is_paired_by_task(compared):
    found = compared([1, 2] * (HELD // 2), [2, 2] * (HELD // 2))
    assert found["difference"] == pytest.approx(0.125)
    assert found["difference"] < found["upper95"] < 0.2
    assert (found["tasks"], found["clusters"]) == (HELD, HELD)
    assert "+12.5 points" in found["why"]
    assert found["with"]["teacher_share"] == pytest.approx(0.1)  # of what came after the fork
    assert found["without"]["teacher_share"] == 0
    assert found["with"]["flops"] == 10.0  # neither evaluation nor the teacher's


def test_the_smallest_effect_follows_from_the_width_of_the_interval(compared):
    normal = NormalDist()
    error = 0.01
    half = normal.inv_cdf(0.95) * error
    found = fork.smallest_effect(Estimate(0.2, 0.2 - half, 0.2 + half, 40, 40))
    assert found == pytest.approx(error * 2.4865, rel=1e-3)  # 1.6449 + 0.8416
    assert fork.smallest_effect(Estimate(0.0, -1.0, 1.0, 9, 1)) == 1.0
    told = compared([1, 2] * (HELD // 2), [2, 2] * (HELD // 2))
    assert f"{100 * told['smallest_effect']:.1f} points" in told["why"]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"status": "running"}, "without the teacher is not finished"),
        ({"flops": 10.1}, "ended before its FLOPs were used: nothing was left"),
        ({"share": 0.126}, "gave 10.0% of what was learned from and not its earlier 12.6%"),
        ({"seeded": 0}, "gave 0.0%"),
    ],
)
def test_a_fork_that_was_not_carried_through_is_not_measured(compared, changes, why):
    found = compared([2] * HELD, [2] * HELD, **changes)
    assert why in found["why"]
    assert (found["difference"], found["upper95"], found["smallest_effect"]) == (None, None, None)


def test_four_fifths_of_the_earlier_share_are_enough(compared):
    assert compared([2] * HELD, [2] * HELD, share=0.124)["difference"] == 0


def test_branches_without_held_out_tasks_are_not_compared(compared):
    assert "no held-out task" in compared([], [])["why"]


def fact(upper, version=4):
    return {"version": version, "upper95": upper, "why": "as it went", "iteration": AT}


@pytest.mark.parametrize(
    ("found", "met"),
    [
        (fact(0.0299), True),
        (fact(0.03), False),
        (fact(None), None),
        (fact(0.0, version=3), None),
    ],
)
def test_graduation_reads_what_the_fork_showed_of_this_policy(tmp_path, found, met):
    with grown(tmp_path / "run", [2] * HELD) as ledger:
        assert graduation.judge(ledger.db, 2, None)["criteria"]["fork"] is None
        ledger.record_facts({fork.FACT: found})
        judged = graduation.judge(ledger.db, 2, None)
        assert judged["criteria"]["fork"] is met
        assert judged["numbers"]["fork"] == found
        stale = "policy version 3, the run has 4"
        assert stale in judged["reasons"]["fork"] or judged["reasons"]["fork"] == "as it went"
        assert not judged["graduated"]


def test_a_run_judged_before_its_fork_can_graduate_by_it(tmp_path):
    with grown(tmp_path / "run", [2] * HELD) as ledger:
        criteria = {"quiet": True, "fork": None}
        judged = {"graduated": False, "criteria": criteria, "reasons": {"quiet": "it is"}}
        ledger.note(10, "graduation", judged)
        ledger.commit(10, 4, "step-000010")
        assert summarise(ledger.db)["graduation"]["criteria"] == criteria
        ledger.record_facts({fork.FACT: fact(0.01)})
    summary = recompute(tmp_path / "run")
    assert summary["graduation"]["graduated"]
    assert summary["graduation"]["iteration"] == 10
    assert summary["graduation"]["reasons"] == {"quiet": "it is", "fork": "as it went"}
    assert "The fork: as it went." in closing(summary).shown
    with Ledger.open(tmp_path / "run") as ledger:
        ledger.record_facts({fork.FACT: fact(0.5)})
    again = recompute(tmp_path / "run")
    assert not again["graduation"]["graduated"]
    assert any("not met: fork (as it went)" in text for text in closing(again).not_shown)


def test_a_copy_goes_on_from_its_iteration_as_if_the_run_had_not_ended(tmp_path):
    (tmp_path / "copy").mkdir()
    with opened(tmp_path / "run") as ledger:
        draw(ledger, [1], iteration=0, purpose=rows.BEFORE)
        ledger.commit(0, 0, "base")
        draw(ledger, [2], iteration=1)
        ledger.note(1, "end", {"reason": "enough"})
        ledger.note(1, "graduation", {"graduated": False, "criteria": {}})
        ledger.note(1, "quiet", {"reason": "nothing_cold"})
        ledger.commit(1, 0, "step-000001")
        ledger.journal_put({"teacher:a": 1})
        ledger.record_meters([Meter(2, "train", flops=1.0)])
        ledger.commit(2, 1, "step-000001")
        ledger.record_facts({"status": "finished", fork.FACT: fact(0.0)})
        before = ledger.digest()
        copy_ledger(tmp_path / "run", tmp_path / "copy", 1)
        assert ledger.digest() == before
    with Ledger.open(tmp_path / "copy") as copy:
        assert copy.last_commit().iteration == 1
        assert (copy.last_note("end"), copy.last_note("graduation")) == (None, None)
        assert copy.last_note("quiet") == {"reason": "nothing_cold"}
        purposes = {row.purpose for row in copy.evidence_for("h0")}
        assert purposes == {rows.BEFORE}
        assert copy.journal_get(["teacher:a"]) == {"teacher:a": 1}
        assert copy.facts() == {"status": "running", "stop_reason": None}

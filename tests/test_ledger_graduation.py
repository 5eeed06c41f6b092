"""Graduation against small ledgers: every criterion met, not met and not measured."""

from __future__ import annotations

import pytest

from toprope.ledger import graduation, rows
from toprope.ledger.rows import Evidence, Meter, Seed, TaskRow
from toprope.ledger.states import Transition
from toprope.ledger.store import Ledger
from toprope.terms import Mode, Outcome, Split, State, Tier

WINDOW = 2
QUIET = "teacher_quiet_because_nothing_cold"
REACH = "nothing_teacher_solves_out_of_reach"
PAR = "not_inferior_to_teacher"


@pytest.fixture
def ledger(tmp_path):
    with Ledger.open(tmp_path / "ledger.sqlite", create=True) as opened:
        kinds = [("t", Split.TRAIN, None), ("d", Split.DEV, None), ("h", Split.HELDOUT, Tier.NEAR)]
        for letter, split, tier in kinds:
            opened.register_tasks(
                TaskRow(f"{letter}{i}", split, tier, f"{letter}{i}", i) for i in range(60)
            )
        yield opened


def draw(ledger, purpose, tasks, passed, n, iteration=0):
    ledger.record_evidence(
        Evidence(
            f"{purpose}/{iteration}/{task}/{i}", iteration, purpose, task, 0, rows.STUDENT,
            Mode.PLAIN, "0", i, Outcome.PASSED if i < passed else Outcome.FAILED,
            float(i < passed), None, 200, 15,
        )
        for task in tasks
        for i in range(n)
    )  # fmt: skip


def run_for(ledger, iterations, reason="nothing_cold", seeded=()):
    for at in range(iterations):
        if at in seeded:
            ledger.record_seeds([Seed(at, 0, "t0", "6", "a", rows.FRESH, 50, rows.IN_LOSS)])
        ledger.record_meters([Meter(at, "train", 100, 0, 100, 1.0)])
        ledger.note(at, "quiet", {"reason": reason})
        ledger.commit(at, at, f"step-{at:06d}")


def judged(ledger, known=None):
    return graduation.judge(ledger.db, WINDOW, known)


def alive(ledger, count):
    ledger.record_transitions(
        0, [Transition(f"t{i}", State.UNSEEN, State.LIVE, "solved") for i in range(count)]
    )


def solved(letter, passed=4):
    return {f"{letter}{i}": (passed, 4) for i in range(60)}


@pytest.mark.parametrize(
    ("iterations", "reason", "seeded", "met"),
    [
        (6, "nothing_cold", (), True),
        (8, "nothing_cold", (0, 1), True),
        (6, "budget", (), False),
        (6, "nothing_cold", (2,), False),
        (4, "nothing_cold", (), False),
    ],
)
def test_silence_counts_only_for_three_windows_in_which_nothing_is_cold(
    ledger, iterations, reason, seeded, met
):
    run_for(ledger, iterations, reason, seeded)
    assert judged(ledger)["criteria"][QUIET] is met


def test_an_unmeasured_criterion_says_why_and_keeps_a_run_from_graduating(ledger):
    run_for(ledger, 6)
    found = judged(ledger)
    assert not found["graduated"]
    assert [found["criteria"][name] for name in (REACH, PAR, "no_regression", "fork")] == [None] * 4
    assert found["reasons"][REACH] == "what the teacher itself solves is not known"
    assert found["past_teacher"]["difference"] is None


@pytest.mark.parametrize(("living", "met"), [(60, True), (59, False), (30, False)])
def test_what_the_teacher_solves_must_be_within_reach(ledger, living, met):
    alive(ledger, living)
    found = judged(ledger, solved("t"))
    assert found["criteria"][REACH] is met
    assert found["numbers"][REACH]["out_of_reach"] == 60 - living


def test_fewer_than_59_tasks_of_the_teacher_decide_nothing(ledger):
    alive(ledger, 60)
    known = dict(list(solved("t").items())[:58]) | {"t58": (0, 4), "t59": (0, 4)}
    found = judged(ledger, known)
    assert found["criteria"][REACH] is None
    assert found["numbers"][REACH]["upper95"] == pytest.approx(1 - 0.05 ** (1 / 58))
    assert judged(ledger, known | {"t58": (1, 4)})["criteria"][REACH] is True


@pytest.mark.parametrize(("student", "met"), [((3, 3, 3), True), ((3, 2, 3), False)])
def test_the_student_keeps_up_with_the_teacher_in_each_of_three_windows(ledger, student, met):
    run_for(ledger, 6)
    dev = [f"d{i}" for i in range(60)]
    draw(ledger, rows.dev_purpose(0), dev, 0, 4, 0)  # a later one of its window stands for it
    for at, passed in zip((1, 3, 5), student, strict=True):
        draw(ledger, rows.dev_purpose(at), dev, passed, 4, at)
    known = {task: (3 if i % 2 else 2, 4) for i, task in enumerate(dev)}
    found = judged(ledger, known)
    assert found["criteria"][PAR] is met
    rates = [row["difference"] for row in found["numbers"][PAR]["windows"]]
    assert rates == pytest.approx([passed / 4 - 0.625 for passed in student])


def test_dev_that_was_not_drawn_in_every_window_decides_nothing(ledger):
    run_for(ledger, 6)
    draw(ledger, rows.dev_purpose(5), ["d0", "d1"], 4, 4, 5)
    found = judged(ledger, solved("d", 0))
    assert found["criteria"][PAR] is None
    assert "1 of the last 3 windows" in found["reasons"][PAR]


@pytest.mark.parametrize(("passed", "met"), [(13, False), (14, True)])
def test_reviews_of_mastered_tasks_are_pooled_and_bounded(ledger, passed, met):
    draw(ledger, rows.REVIEW, ["t0"], passed, 14)  # .05 ** (1 / 14) = .807
    assert judged(ledger)["criteria"]["no_regression"] is met


def test_past_the_teacher_is_a_paired_difference_on_heldout(ledger):
    held = [f"h{i}" for i in range(60)]
    draw(ledger, rows.AFTER, held[:30], 4, 4)
    draw(ledger, rows.AFTER, held[30:], 2, 4)
    past = judged(ledger, solved("h", 2))["past_teacher"]
    assert past["difference"] == pytest.approx(0.25)
    low, high = past["ci95"]
    assert 0.15 < low < 0.25 < high < 0.35
    assert past["tasks"] == 60
    assert judged(ledger, solved("t"))["past_teacher"]["difference"] is None

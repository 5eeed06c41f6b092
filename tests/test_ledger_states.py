"""The state machine: each rule at, just below and just above its threshold."""

from __future__ import annotations

import pytest

from toprope.ledger.states import (
    Draws,
    after_cold_test,
    after_draws,
    after_pilot,
    after_proof,
    after_review,
    needs_second_look,
    parked,
    pilot_due,
    unparked,
)
from toprope.terms import State


def chunks(*counts: tuple[int, int, int]) -> list[Draws]:
    return [Draws(*count) for count in counts]


def after(move):
    return None if move is None else move.after


def test_no_success_in_sixteen_draws_makes_a_task_cold():
    move = after_cold_test("t", chunks((0, 0, 8), (0, 0, 8)))
    assert move == ("t", State.UNSEEN, State.COLD, "0 of 16 in the cold test")


def test_one_success_in_the_cold_test_makes_a_task_live():
    assert after(after_cold_test("t", chunks((0, 0, 8), (0, 1, 8)))) is State.LIVE


def test_too_few_draws_decide_nothing():
    assert after_cold_test("t", chunks((0, 0, 8))) is None
    assert after_cold_test("t", chunks((0, 0, 16)), needed=32) is None


def test_a_cold_test_is_made_at_one_version():
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        after_cold_test("t", chunks((0, 0, 8), (1, 0, 8)))


@pytest.mark.parametrize("before", [State.COLD, State.PARKED])
def test_two_successes_in_sixteen_draws_at_one_version_thaw(before):
    move = after_pilot("t", before, chunks((3, 1, 8), (3, 1, 8)))
    assert move == ("t", before, State.LIVE, "2 of 16 plain draws passed at version 3")


@pytest.mark.parametrize(
    "evidence",
    [
        chunks((3, 1, 8)),
        chunks((3, 1, 8), (4, 1, 8)),  # two versions
        chunks((3, 1, 8), (3, 0, 8), (3, 1, 8)),  # 24 draws apart
        [],
    ],
)
def test_less_than_that_is_no_thaw(evidence):
    assert after_pilot("t", State.COLD, evidence) is None


def test_a_thaw_is_found_anywhere_in_the_evidence():
    evidence = chunks((1, 0, 8), (2, 2, 8), (3, 0, 8))
    assert after(after_pilot("t", State.COLD, evidence)) is State.LIVE


def test_only_cold_and_parked_tasks_thaw():
    assert after_pilot("t", State.LIVE, chunks((1, 8, 8))) is None


def test_one_success_in_eight_asks_for_a_second_look_at_the_same_version():
    assert needs_second_look(chunks((1, 0, 8), (2, 1, 8)))
    assert not needs_second_look(chunks((2, 1, 8), (2, 0, 8)))
    assert not needs_second_look(chunks((2, 0, 8)))
    assert not needs_second_look([])


def test_sixteen_passes_in_a_row_at_one_version_master_a_live_task():
    move = after_draws("t", State.LIVE, chunks((5, 6, 8), (5, 8, 8), (5, 8, 8)))
    assert move is not None
    assert (move.after, move.reason) == (
        State.MASTERED,
        "16 of 16 plain draws passed at version 5",
    )
    assert after_draws("t", State.LIVE, chunks((5, 8, 8), (6, 8, 8))) is None
    assert after_draws("t", State.LIVE, chunks((5, 8, 8), (5, 7, 8))) is None


def test_thirty_two_straight_failures_at_one_version_freeze_a_live_task():
    move = after_draws("t", State.LIVE, chunks((5, 1, 8), (5, 0, 16), (5, 0, 16)))
    assert move is not None
    assert move.after is State.COLD
    assert "regression: 0 of 32" in move.reason
    assert after_draws("t", State.LIVE, chunks((5, 0, 16), (6, 0, 16))) is None
    assert after_draws("t", State.LIVE, chunks((5, 0, 16), (5, 0, 8))) is None


def test_training_draws_place_an_unseen_task():
    assert after(after_draws("t", State.UNSEEN, chunks((1, 0, 8), (2, 1, 8)))) is State.LIVE
    assert after_draws("t", State.UNSEEN, chunks((1, 0, 8), (2, 0, 8))) is None
    assert after(after_draws("t", State.UNSEEN, chunks((2, 0, 8), (2, 0, 8)))) is State.COLD


def test_training_draws_do_not_thaw_or_regress_other_states():
    for before in (State.COLD, State.PARKED, State.MASTERED, State.BROKEN):
        assert after_draws("t", before, chunks((1, 8, 16), (1, 0, 32))) is None


def test_two_failed_retests_in_a_row_are_a_regression():
    move = after_review("t", State.MASTERED, chunks((4, 8, 8), (5, 6, 8), (6, 5, 8)))
    assert move is not None
    assert move.after is State.LIVE
    assert move.reason == "regression: re-tests passed 6 of 8 and 5 of 8"


def test_seven_of_eight_is_no_failed_retest():
    assert after_review("t", State.MASTERED, chunks((5, 6, 8), (6, 7, 8))) is None
    assert after_review("t", State.MASTERED, chunks((5, 6, 8))) is None
    assert after_review("t", State.LIVE, chunks((5, 0, 8), (6, 0, 8))) is None


def test_a_cold_task_is_parked_when_every_allowed_rung_was_tried():
    assert parked("t", State.COLD, rungs_allowed=["0", "6"], rungs_tried=["0"]) is None
    move = parked("t", State.COLD, rungs_allowed=["0", "6"], rungs_tried=["6", "0"])
    assert after(move) is State.PARKED


def test_a_cold_task_is_parked_when_no_teacher_solves_it_in_eight():
    def move(attempts: int, successes: int):
        return parked(
            "t",
            State.COLD,
            rungs_allowed=["6"],
            rungs_tried=[],
            teacher_attempts=attempts,
            teacher_successes=successes,
        )

    assert move(7, 0) is None
    assert move(8, 1) is None
    assert after(move(8, 0)) is State.PARKED


def test_a_parked_task_goes_back_to_cold_when_there_is_help_again():
    assert after(unparked("t", State.PARKED, reason="a new teacher")) is State.COLD
    assert unparked("t", State.LIVE, reason="a new teacher") is None


def test_a_task_is_broken_if_its_fix_fails_or_doing_nothing_passes():
    def move(passes: bool, fails: bool):
        return after_proof("t", State.UNSEEN, reference_passes=passes, unchanged_fails=fails)

    assert move(True, True) is None
    assert move(False, True).reason == "the reference fix fails"
    assert move(True, False).reason == "doing nothing passes"
    assert move(True, False).after is State.BROKEN


def test_pilots_come_after_one_two_four_and_eight_updates():
    made, last = [], 0
    for iteration in range(1, 20):
        if pilot_due(iteration, last, len(made)):
            made.append(iteration)
            last = iteration
    assert made == [1, 3, 7, 15]

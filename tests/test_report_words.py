"""The closing words claim what the intervals allow, and no more."""

from __future__ import annotations

import copy

import pytest

from invented_run import invent_run
from toprope.ledger.store import Ledger
from toprope.ledger.summary import recompute, summarise
from toprope.report.words import as_text, closing, unsafe


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return recompute(invent_run(tmp_path_factory.mktemp("run") / "invented"))


@pytest.fixture
def summary(whole):
    return copy.deepcopy(whole)


def set_gain(summary, tier, gain, low, high, key="rl_gain"):
    summary["heldout"][key][tier] = {"gain": gain, "ci95": [low, high], "tasks": 60, "clusters": 40}


def one(sentences, fragment):
    found = [text for text in sentences if fragment in text]
    assert len(found) == 1, sentences
    return found[0]


def test_a_gain_is_shown_only_if_its_whole_interval_is_above_zero(summary):
    set_gain(summary, "near", 0.1, 0.02, 0.18)
    set_gain(summary, "mid", 0.1, -0.001, 0.2)
    set_gain(summary, "far", -0.1, -0.2, -0.05)
    said = closing(summary)
    shown = one(said.shown, "Reinforcement learning raised")
    assert "near (new bugs" in shown
    assert "+2.0 to +18.0" in shown
    assert "mid" not in shown
    assert "far" not in shown
    open_ = one(said.not_shown, "That reinforcement learning raised")
    assert "within noise" in open_.split("; far")[0]
    assert "it fell" in open_.split("; far")[1]


def test_a_point_that_was_not_measured_is_said_to_be_so(summary):
    summary["heldout"].update(after=None, rl_gain=None)
    said = closing(summary)
    assert "That reinforcement learning raised the held-out pass rate further: not measured" in (
        one(said.not_shown, "reinforcement")
    )
    assert "after RL" not in said.headline


@pytest.mark.parametrize("reason", ["exhausted", "budget", "parked"])
def test_silence_for_want_of_anything_but_cold_tasks_proves_nothing(summary, reason):
    summary["teacher"]["quiet_reason"] = reason
    one(closing(summary).not_shown, "That the teacher is no longer needed")


def test_silence_because_nothing_is_cold_is_shown(summary):
    summary["teacher"]["quiet_reason"] = "nothing_cold"
    one(closing(summary).shown, "quiet because nothing is cold")


def test_a_teacher_that_still_speaks_is_not_quiet(summary):
    summary["teacher"]["share_by_window"][-1]["share"] = 0.2
    one(closing(summary).not_shown, "its share of the last window is 20.0\xa0%")


def test_tasks_that_our_failures_left_undecided_are_counted(summary):
    assert not [text for text in closing(summary).not_shown if "could not be placed" in text]
    summary["cold_start"]["undecided"] = 3
    assert "3 could not be placed" in one(closing(summary).not_shown, "Whether more tasks")
    summary["cold_start"]["tested"] = 0
    assert "no cold test" not in " ".join(closing(summary).not_shown)


def share(thawed, of, low, high):
    return {"thawed": thawed, "of": of, "ci95": [low, high]}


def test_thaws_need_the_frozen_base_beside_them(summary):
    control = share(8, 20, 0.2, 0.62)
    summary["thawed"].update(
        count=40, of_cold=80, ci95=[0.37, 0.63], unseeded_control=control, frozen_base=None
    )
    one(
        closing(summary).not_shown,
        "what the frozen base thaws with the same draws was not measured",
    )
    summary["thawed"]["frozen_base"] = share(2, 80, 0.0, 0.09)
    said = one(closing(summary).shown, "the frozen base, given the same draws")
    assert "40 of 80 (50\xa0%; 95 % interval 37.0–63.0\xa0%) of the cold tasks" in said
    assert "8 of 20 (40\xa0%; 95 % interval 20.0–62.0\xa0%)" in said
    summary["thawed"]["frozen_base"] = share(28, 80, 0.2, 0.5)
    one(closing(summary).not_shown, "learning rather than persistence")


def test_thaws_are_judged_by_intervals_over_source_functions(summary):
    # Over tasks as samples of their own, 40 of 80 (.39 to .61) would lie above 16 of 80
    # (.13 to .30); few functions make both intervals wide enough to meet.
    base = share(16, 80, 0.05, 0.42)
    summary["thawed"].update(count=40, of_cold=80, ci95=[0.4, 0.6], frozen_base=base)
    one(closing(summary).not_shown, "learning rather than persistence")


def test_undoing_our_own_mutations_is_not_learning_to_code(summary):
    for tier, chance in (("near", 0.0), ("mid", 0.9), ("far", 0.9)):
        summary["heldout"]["mutator"][tier] = chance
    said = closing(summary)
    assert "near" in one(said.shown, "random inverse edit")
    assert "mid" in one(said.not_shown, "undo our mutations")


def test_an_answer_key_supports_no_claim_about_teachers(summary):
    summary["teacher"]["name"] = "reference"
    one(closing(summary).not_shown, "an answer key")


def test_not_graduated_is_an_ordinary_ending(summary):
    said = closing(summary)
    assert said.headline.endswith("not graduated.")
    assert one(said.not_shown, "Graduation") == (
        "Graduation: not met: nothing is cold; not measured: fork."
    )
    summary["graduation"]["reasons"] = {"fork": "no fork was run"}
    assert "not measured: fork (no fork was run)." in one(closing(summary).not_shown, "Graduation")


def test_exceeding_the_teacher_is_said_only_with_an_interval_that_carries_it(summary):
    past = {"difference": 0.04, "ci95": [0.01, 0.07], "tasks": 60}
    summary["graduation"]["past_teacher"] = past
    assert "+4.0 points (+1.0 to +7.0; 60 tasks)" in one(closing(summary).shown, "exceeds")
    past["ci95"] = [-0.01, 0.09]
    assert "within noise" in one(closing(summary).not_shown, "exceeds")
    past.update(difference=-0.2, ci95=[-0.3, -0.1])
    assert "still better" in one(closing(summary).not_shown, "exceeds")
    summary["graduation"]["past_teacher"] = {"difference": None, "why": "it is not known"}
    assert "it is not known" in one(closing(summary).not_shown, "exceeds")


def test_a_run_that_was_stopped_and_walls_that_were_down_are_named(summary):
    summary.update(status="stopped", stop_reason="Ctrl-C")
    summary["walls"] = {"level": "unsafe-local", "isolated": False}
    said = closing(summary)
    one(said.not_shown, "it is stopped (Ctrl-C)")
    summary["status"] = "running"
    one(closing(summary).not_shown, "still running, or was cut off")
    one(said.not_shown, "--unsafe-local")
    assert unsafe({"walls": {"level": "namespaces", "isolated": True}}) is None


def test_a_run_that_never_began_claims_nothing(tmp_path):
    with Ledger.open(tmp_path / "ledger.sqlite", create=True) as ledger:
        said = closing(summarise(ledger.db))
    assert said.shown == ()
    assert "were not measured" in said.headline
    assert "Shown:\n  (nothing)\nNot shown:" in as_text(said)


def test_rewards_of_a_coin_are_said_to_be_so(summary):
    assert not [text for text in closing(summary).shown if "random rewards" in text]
    summary["coin"] = 0.5
    assert one(closing(summary).shown, "random rewards")

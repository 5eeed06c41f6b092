"""The forgetting suite against small ledgers: not worse, worse, too small, not drawn."""

from __future__ import annotations

import pytest

from toprope.ledger import forgetting
from toprope.ledger.store import Ledger
from toprope.ledger.summary import summarise
from toprope.report.economics import numbers_table, run_numbers
from toprope.report.tables import forgetting as forgetting_table

TOKENS = 50


@pytest.fixture
def ledger(tmp_path):
    with Ledger.open(tmp_path / "ledger.sqlite", create=True) as opened:
        yield opened


def look(ledger, iteration, version, right, *, kinds=("prose",), suite="s"):
    """Note that so many tokens of each text were foreseen, of 50."""
    texts = {
        f"t{i:02d}": [kinds[i % len(kinds)], n, TOKENS, -2.0 * TOKENS] for i, n in enumerate(right)
    }
    ledger.note(iteration, forgetting.NOTE, {"suite": suite, "version": version, "texts": texts})
    ledger.commit(iteration, version, "base")


def judged(ledger, version=9):
    return forgetting.judge(forgetting.measured(ledger.db), version)


def spread(base, step, count=40):
    """Every other text has one token more or less of 50, and all have `step` more."""
    return [base + step + (1 if i % 2 else -1) for i in range(count)]


def test_a_difference_is_paired_by_text_and_worked_out_by_hand(ledger):
    look(ledger, 0, 0, [25] * 40)
    look(ledger, 5, 9, [27, 24] * 20)  # +.04 and -.02: +.01 on average
    found = forgetting.measured(ledger.db)
    assert found["before"] == pytest.approx(0.5)
    assert found["difference"] == pytest.approx(0.01)
    assert (found["texts"], found["tokens"]) == (40, 2000)
    assert found["nats_after"] == pytest.approx(-2.0)
    # Deviations of .03 in 40 texts: the normal approximation has .01 - 1.645 * .03 / sqrt(40).
    assert found["lower95"] == pytest.approx(0.01 - 1.645 * 0.03 / 40**0.5, abs=0.0015)


@pytest.mark.parametrize(
    ("step", "met"), [(0, True), (2, True), (-1, False), (-3, False), (-0.4, True)]
)
def test_not_worse_means_that_the_lower_bound_stays_above_two_points(ledger, step, met):
    # One text differs from the next by 2 tokens of 50, so the bound lies .0052 below the mean.
    look(ledger, 0, 0, [25] * 40)
    look(ledger, 5, 9, spread(25, step))
    met_was, why = judged(ledger)
    assert met_was is met
    assert "-2 is asked" in why or "lost are" in why


def test_a_noisy_suite_tells_nothing_and_is_never_called_met(ledger):
    look(ledger, 0, 0, [25] * 24)
    look(ledger, 5, 9, [30, 20] * 12)  # no change on average, .10 up and down: the bound is -.034
    met, why = judged(ledger)
    assert met is None
    assert "cannot tell a loss of 2" in why


def test_few_texts_are_never_called_met(ledger):
    look(ledger, 0, 0, [25] * 19)
    look(ledger, 5, 9, spread(25, 3, count=19))
    assert judged(ledger)[0] is None
    assert "fewer than 20" in judged(ledger)[1]


def test_a_kind_that_is_lost_cannot_hide_behind_the_others(ledger):
    kinds = ("prose", "prose", "prose", "answers")
    look(ledger, 0, 0, [25] * 40, kinds=kinds)
    later = spread(26, 0)
    later[3::4] = [22] * 9 + [21]  # ten answers lost 6 points, thirty others won 1
    look(ledger, 5, 9, later, kinds=kinds)
    assert forgetting.measured(ledger.db)["lower95"] > -0.02  # alone it would do
    met, why = judged(ledger)
    assert met is False
    assert "lost are answers (-6.2" in why


def test_without_a_base_another_suite_or_an_older_version_nothing_is_said(ledger):
    assert judged(ledger) == (None, "no forgetting suite was drawn")
    look(ledger, 0, 0, [25] * 40, suite="another")
    look(ledger, 5, 9, spread(25, 0))
    assert "frozen base was not drawn" in judged(ledger)[1]
    assert forgetting.measured(ledger.db)["difference"] is None
    assert judged(ledger)[0] is None


def test_a_first_look_at_a_trained_policy_is_no_base(ledger):
    look(ledger, 3, 1, [25] * 40)
    look(ledger, 5, 9, spread(25, 0))
    assert "frozen base was not drawn" in judged(ledger)[1]


def test_an_old_look_does_not_stand_for_the_policy_that_ends_the_run(ledger):
    look(ledger, 0, 0, [25] * 40)
    look(ledger, 5, 9, spread(25, 0))
    assert judged(ledger, 9)[0] is True
    assert judged(ledger, 10)[0] is None


def test_summary_numbers_and_report_carry_it(ledger, tmp_path):
    look(ledger, 0, 0, [25] * 40)
    look(ledger, 2, 3, spread(25, -1))
    look(ledger, 5, 9, spread(25, 0))
    summary = summarise(ledger.db)
    assert [one["iteration"] for one in summary["forgetting"]["looks"]] == [2, 5]
    assert summary["forgetting"]["looks"][0]["difference"] == pytest.approx(-0.02)
    assert "prose" in forgetting_table(summary)
    told = numbers_table(run_numbers(tmp_path))
    assert "forgetting suite, the base" in told
    assert "one-sided 95 % bounds -0.5% and 0.5%" in told


def test_a_run_without_the_suite_says_not_measured(ledger, tmp_path):
    summary = summarise(ledger.db)
    assert summary["forgetting"] is None
    assert "Not measured" in forgetting_table(summary)
    assert "not measured: no forgetting suite was drawn" in numbers_table(run_numbers(tmp_path))

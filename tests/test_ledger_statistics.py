"""Statistics against values worked out by hand or read from published tables."""

from __future__ import annotations

import pytest

from toprope.ledger.statistics import (
    binomial_cdf,
    clopper_pearson_lower,
    clopper_pearson_upper,
    cluster_bootstrap,
    paired_cluster_bootstrap,
    pass_at_k,
    zero_success_power,
)


@pytest.mark.parametrize(("n", "bound"), [(16, 0.1707), (32, 0.0894), (59, 0.0495)])
def test_no_success_bounds_the_pass_rate_where_one_minus_p_to_the_n_is_five_percent(n, bound):
    assert clopper_pearson_upper(0, n) == pytest.approx(1 - 0.05 ** (1 / n), abs=1e-9)
    assert clopper_pearson_upper(0, n) == pytest.approx(bound, abs=5e-5)


def test_fewer_than_59_tasks_cannot_show_a_share_below_five_percent():
    assert clopper_pearson_upper(0, 58) > 0.05 > clopper_pearson_upper(0, 59)


def test_sixteen_of_sixteen_bounds_the_pass_rate_from_below():
    assert clopper_pearson_lower(16, 16) == pytest.approx(0.8293, abs=5e-5)
    assert clopper_pearson_upper(16, 16) == 1.0
    assert clopper_pearson_lower(0, 16) == 0.0


def test_two_sided_bounds_agree_with_the_published_table_for_3_of_10():
    # Clopper-Pearson 95 % interval of 3/10, in any table: .0667 to .6525
    assert clopper_pearson_lower(3, 10, 0.025) == pytest.approx(0.0667, abs=5e-5)
    assert clopper_pearson_upper(3, 10, 0.025) == pytest.approx(0.6525, abs=5e-5)


def test_binomial_tail_by_hand():
    # X ~ B(3, .5): P(X <= 1) = (1 + 3) / 8
    assert binomial_cdf(1, 3, 0.5) == pytest.approx(0.5)
    assert binomial_cdf(2, 3, 0.5) == pytest.approx(7 / 8)


def test_bounds_hold_at_counts_of_a_whole_run():
    assert clopper_pearson_upper(0, 4000) == pytest.approx(1 - 0.05 ** (1 / 4000), rel=1e-6)
    assert 0.5 < clopper_pearson_upper(2000, 4000) < 0.52


def test_power_of_the_zero_success_test():
    assert zero_success_power(0.05, 32) == pytest.approx(0.19, abs=0.005)
    assert zero_success_power(0.05, 16) == pytest.approx(0.44, abs=0.005)
    assert zero_success_power(1.0, 16) == 0.0


def test_pass_at_k_by_hand():
    assert pass_at_k(4, 1, 1) == 0.25
    assert pass_at_k(4, 1, 2) == pytest.approx(1 - 3 / 6)
    assert pass_at_k(8, 2, 4) == pytest.approx(1 - 15 / 70)
    assert pass_at_k(8, 0, 8) == 0.0
    assert pass_at_k(8, 5, 4) == 1.0


def test_pass_at_k_refuses_more_draws_than_were_made():
    with pytest.raises(ValueError, match="pass@8 cannot be estimated from 4 draws"):
        pass_at_k(4, 1, 8)


def test_impossible_counts_are_refused():
    with pytest.raises(ValueError, match="5 of 4"):
        clopper_pearson_upper(5, 4)
    with pytest.raises(ValueError, match="0 of 0"):
        clopper_pearson_upper(0, 0)


def test_bootstrap_of_two_clusters_ends_at_the_cluster_means():
    # Resamples of {a: 0, b: 1}: mean 0 (1/4), 1/2 (1/2), 1 (1/4).
    estimate = cluster_bootstrap({"a": [0.0, 0.0], "b": [1.0, 1.0]})
    assert estimate == (0.5, 0.0, 1.0, 4, 2)


def test_bugs_of_one_function_do_not_count_as_so_many_samples():
    alone = cluster_bootstrap({str(i): [float(i % 2)] for i in range(40)})
    together = cluster_bootstrap({str(i): [float(i % 2)] * 10 for i in range(4)})
    assert alone.mean == together.mean == 0.5
    assert together.high - together.low > 2 * (alone.high - alone.low)


def test_bootstrap_mean_weighs_tasks_not_clusters():
    assert cluster_bootstrap({"a": [1.0], "b": [0.0, 0.0, 0.0]}).mean == 0.25


def test_equal_values_do_not_claim_certainty():
    nothing = cluster_bootstrap({str(i): [0.0, 0.0] for i in range(60)})
    assert (nothing.mean, nothing.low) == (0.0, 0.0)
    assert nothing.high == pytest.approx(1 - 0.025 ** (1 / 60))
    everything = cluster_bootstrap({str(i): [1.0] for i in range(60)})
    assert (everything.low, everything.high) == (pytest.approx(0.025 ** (1 / 60)), 1.0)
    assert cluster_bootstrap({"only": [0.3, 0.4]})[1:3] == (0.0, 1.0)


def test_bootstrap_repeats_bit_for_bit():
    values = {str(i): [i / 7 % 1, i / 3 % 1] for i in range(30)}
    assert cluster_bootstrap(values) == cluster_bootstrap(values)
    assert cluster_bootstrap(values, seed=1) != cluster_bootstrap(values)


def test_bootstrap_interval_is_about_two_standard_errors():
    values = {str(i): [float(i % 2)] for i in range(400)}
    estimate = cluster_bootstrap(values)
    assert estimate.high - estimate.mean == pytest.approx(1.96 * 0.5 / 20, rel=0.1)


def test_paired_differences_use_only_tasks_measured_twice():
    before = {"a": 0.0, "b": 0.5, "only_before": 0.0}
    after = {"a": 0.5, "b": 0.5, "only_after": 1.0}
    estimate = paired_cluster_bootstrap(before, after, {"a": "f", "b": "g"})
    assert estimate == (0.25, 0.0, 0.5, 2, 2)


def test_pairing_removes_the_spread_between_tasks():
    before = {str(i): (i % 10) / 10 for i in range(50)}
    after = {task: rate + 0.05 for task, rate in before.items()}
    estimate = paired_cluster_bootstrap(before, after, {task: task for task in before})
    assert estimate.low == pytest.approx(0.05)
    assert estimate.high == pytest.approx(0.05)


def test_no_change_at_all_still_has_an_interval():
    rates = {str(i): 0.0 for i in range(60)}
    estimate = paired_cluster_bootstrap(rates, rates, {task: task for task in rates})
    assert estimate.high == pytest.approx(1 - 0.025 ** (1 / 60))
    assert estimate.low == -estimate.high


def test_nothing_measured_is_refused():
    with pytest.raises(ValueError, match="no values"):
        cluster_bootstrap({"a": []})
    with pytest.raises(ValueError, match="both points"):
        paired_cluster_bootstrap({"a": 1.0}, {"b": 1.0}, {})

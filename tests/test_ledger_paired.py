from __future__ import annotations

import pytest

from toprope.ledger.paired import MOST_EXACT, holm, seeds_and_clusters, sign_flip


def test_all_of_three_the_same_way_is_one_in_four_of_the_eight_signs():
    assert sign_flip([0.1, 0.2, 0.3]) == 2 / 8
    assert sign_flip([-0.1, -0.2, -0.3]) == 2 / 8


def test_the_size_of_differences_counts_and_not_their_signs_alone():
    # Sums of the eight sign assignments: 4, 2, 2, 0 and their negatives.
    assert sign_flip([1.0, 1.0, 2.0]) == 2 / 8
    assert sign_flip([1.0, -1.0, 2.0]) == 6 / 8
    assert sign_flip([1.0, 1.0, -2.0]) == 1.0


def test_not_worse_than_a_margin_is_one_sided():
    # 0.0, 0.0, 0.0 lies above -0.02 in all three: one assignment of eight.
    assert sign_flip([0.0, 0.0, 0.0], above=-0.02) == 1 / 8
    assert sign_flip([-0.04, -0.04, -0.04], above=-0.02) == 1.0


def test_many_seeds_are_drawn_and_give_nearly_the_exact_value():
    many = [0.1] * (MOST_EXACT + 1) + [-0.1] * 3
    # A sum of at least 1.4 or at most -1.4: at most 3 of 20 signs of one kind.
    assert sign_flip(many) == pytest.approx(2 * (1 + 20 + 190 + 1140) / 2**20, abs=1e-3)


def test_nothing_to_test_is_an_error():
    with pytest.raises(ValueError, match="no differences"):
        sign_flip([])
    with pytest.raises(ValueError, match="no differences"):
        seeds_and_clusters([])


def test_holm_multiplies_by_what_is_left_and_never_falls():
    adjusted = holm({"a": 0.01, "b": 0.04, "c": 0.03})
    assert adjusted == pytest.approx({"a": 0.03, "c": 0.06, "b": 0.06})
    assert holm({"a": 0.9, "b": 0.8}) == {"b": 1.0, "a": 1.0}


def test_an_interval_is_wider_where_seeds_disagree():
    agreeing = [{f"f{i}": [0.2] for i in range(20)}] * 4
    estimate = seeds_and_clusters(agreeing)
    assert estimate[:3] == pytest.approx((0.2, 0.2, 0.2))
    torn = [{f"f{i}": [value] for i in range(20)} for value in (0.5, -0.1, 0.5, -0.1)]
    estimate = seeds_and_clusters(torn)
    assert estimate.mean == pytest.approx(0.2)
    assert estimate.low < -0.05
    assert estimate.high > 0.45


def test_an_interval_is_wider_where_functions_disagree():
    torn = [{f"f{i}": [float(i % 2)] for i in range(20)}] * 4
    estimate = seeds_and_clusters(torn)
    assert estimate.low == pytest.approx(0.28, abs=0.05)
    assert estimate.high == pytest.approx(0.72, abs=0.05)


def test_one_seed_says_nothing_about_others():
    assert seeds_and_clusters([{"f": [0.1], "g": [0.3]}])[:3] == pytest.approx((0.2, -1.0, 1.0))

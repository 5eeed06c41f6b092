"""Ranges stay ordered and units consistent, whatever is done with them."""

from __future__ import annotations

import random

import pytest

from toprope.plan.ranges import Range, RangeError
from toprope.plan.units import UnitError, number, to_base, told


def drawn(rng: random.Random) -> Range:
    return Range(*sorted(rng.uniform(0.1, 50) for _ in range(3)))


def test_arithmetic_keeps_every_possible_value_inside():
    rng = random.Random(0)
    for _ in range(300):
        one, other = drawn(rng), drawn(rng)
        a, b = rng.uniform(one.min, one.max), rng.uniform(other.min, other.max)
        for found, value in (
            (one + other, a + b),
            (one - other, a - b),
            (one * other, a * b),
            (one / other, a / b),
        ):
            assert found.min <= found.typ <= found.max
            assert found.min - 1e-9 <= value <= found.max + 1e-9


def test_numbers_by_hand():
    assert Range(1, 2, 3) * 2 == Range(2, 4, 6)
    assert Range(1, 2, 4) - Range(1, 1, 2) == Range(-1, 1, 3)
    assert 8 / Range(1, 2, 4) == Range(2, 4, 8)
    assert Range.spanning([Range(1, 2, 3), Range(2, 4, 9)]) == Range(1, 3, 9)
    assert Range(-1, 2, 3).at_least(0) == Range(0, 2, 3)


@pytest.mark.parametrize(
    "numbers", [(2, 1, 3), (1, 3, 2), (1, 1, float("inf")), (float("nan"), 1, 2)]
)
def test_what_is_no_range_is_refused(numbers):
    with pytest.raises(RangeError, match=r"least, typical|finite"):
        Range(*numbers)


def test_division_by_a_range_that_holds_zero_is_refused():
    with pytest.raises(RangeError, match="holds 0"):
        Range.of(1) / Range(-1, 0, 1)


def test_units_are_converted_and_told():
    assert to_base("TFLOP/s", "FLOP/s") == 1e12
    assert to_base("Gbit/s", "B/s") == pytest.approx(1.25e8)
    assert to_base("GiB", "B") == 2**30
    assert told(Range(1800, 7200, 9000), "s") == "2 h (0.5–2.5)"
    assert told(Range.of(989e12), "FLOP/s") == "989 TFLOP/s"
    assert told(Range(1.3, 2.29, 5), "$/h") == "$2.29/h (1.3–5)"
    assert told(0.002, "$") == "less than $0.01"
    assert number(1234567) == "1,234,567"


def test_a_unit_of_another_kind_is_refused_with_those_that_fit():
    with pytest.raises(UnitError, match=r"GB, GiB"):
        to_base("GB/s", "B")

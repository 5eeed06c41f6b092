"""Ranges: a least, a typical and a greatest value, and arithmetic that keeps them in order.

It must not know what is measured; units are `plan/units.py`'s.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import isfinite

from toprope.terms import TopropeError


class RangeError(TopropeError):
    """Three numbers that are no range, or a division by a range that holds 0."""


@dataclass(frozen=True, slots=True)
class Range:
    """`min <= typ <= max`, all finite. Raises `RangeError` otherwise.

    Arithmetic is that of intervals for the ends and of plain numbers for the middle. It
    takes both sides as independent, so what depends on the same thing twice comes out
    wider than it is, never narrower.
    """

    min: float
    typ: float
    max: float

    def __post_init__(self) -> None:
        numbers = (self.min, self.typ, self.max)
        if not all(isfinite(number) for number in numbers):
            raise RangeError(f"a range of {numbers}: its numbers must be finite")
        if not self.min <= self.typ <= self.max:
            raise RangeError(f"a range of {numbers}: write them as least, typical, greatest")

    @classmethod
    def of(cls, value: Range | float) -> Range:
        """Return a range as it is, and a number as a range of that number alone."""
        return value if isinstance(value, Range) else cls(value, value, value)

    @classmethod
    def spanning(cls, ranges: Iterable[Range]) -> Range:
        """Return the range from the least to the greatest; its middle is the mean of theirs."""
        found = list(ranges)
        if not found:
            raise RangeError("no ranges to span; give at least one")
        low, high = min(r.min for r in found), max(r.max for r in found)
        middle = sum(r.typ for r in found) / len(found)
        return cls(low, min(max(middle, low), high), high)

    @classmethod
    def greatest(cls, ranges: Iterable[Range]) -> Range:
        """Return the greatest of each end and of the middles: what binds, over its range."""
        found = list(ranges)
        if not found:
            raise RangeError("no ranges to compare; give at least one")
        return cls(max(r.min for r in found), max(r.typ for r in found), max(r.max for r in found))

    @property
    def exact(self) -> bool:
        """Whether there is one number only."""
        return self.min == self.max

    def __add__(self, other: Range | float) -> Range:
        o = Range.of(other)
        return Range(self.min + o.min, self.typ + o.typ, self.max + o.max)

    def __sub__(self, other: Range | float) -> Range:
        o = Range.of(other)
        return Range(self.min - o.max, self.typ - o.typ, self.max - o.min)

    def __mul__(self, other: Range | float) -> Range:
        o = Range.of(other)
        ends = [a * b for a in (self.min, self.max) for b in (o.min, o.max)]
        return _kept(min(ends), self.typ * o.typ, max(ends))

    def __truediv__(self, other: Range | float) -> Range:
        o = Range.of(other)
        if o.min <= 0 <= o.max:
            raise RangeError(f"division by {o}: it holds 0")
        ends = [a / b for a in (self.min, self.max) for b in (o.min, o.max)]
        return _kept(min(ends), self.typ / o.typ, max(ends))

    def __radd__(self, other: float) -> Range:
        return self + other

    def __rsub__(self, other: float) -> Range:
        return Range.of(other) - self

    def __rmul__(self, other: float) -> Range:
        return self * other

    def __rtruediv__(self, other: float) -> Range:
        return Range.of(other) / self

    def at_least(self, floor: float) -> Range:
        """Return the range with nothing below `floor`."""
        return Range(max(self.min, floor), max(self.typ, floor), max(self.max, floor))

    def at_most(self, ceiling: float) -> Range:
        """Return the range with nothing above `ceiling`."""
        return Range(min(self.min, ceiling), min(self.typ, ceiling), min(self.max, ceiling))

    def as_json(self) -> dict[str, float]:
        """Return the three numbers by name."""
        return {"min": self.min, "typ": self.typ, "max": self.max}


def _kept(low: float, middle: float, high: float) -> Range:
    """A range whose middle a rounding has not carried past an end."""
    return Range(low, min(max(middle, low), high), high)

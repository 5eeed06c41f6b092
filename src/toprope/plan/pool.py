"""A pool: so many of one chip, and the chip's figures at one end of their ranges.

It must not know workloads.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from toprope.plan.chips import Chip, find_chip
from toprope.plan.ranges import Range
from toprope.terms import TopropeError

Corner = Literal["slow", "usual", "fast"]
CORNERS: tuple[Corner, ...] = ("fast", "usual", "slow")


class PoolError(TopropeError):
    """A pool that cannot be read, or of no chips."""


@dataclass(frozen=True, slots=True)
class Pool:
    """`count` of one chip."""

    count: int
    chip: Chip

    def __str__(self) -> str:
        return f"{self.count:,} x {self.chip.name}"


def read_pool(text: str, chips: Mapping[str, Chip]) -> Pool:
    """Return the pool of `8 x H100`, `8xH100`, `8*H100` or `H100` (one)."""
    found = re.fullmatch(r"\s*(?:(\d[\d_,]*)\s*(?:x|X|×|\*)\s*)?(.+?)\s*", text)
    if not found:
        raise PoolError(f"{text!r}: write a pool as `8 x H100`")
    count = int(re.sub(r"[_,]", "", found[1])) if found[1] else 1
    if count < 1:
        raise PoolError(f"{text!r}: a pool has at least one chip")
    return Pool(count, find_chip(found[2], chips))


def at(value: Range, corner: Corner) -> float:
    """Return the end of a range at which more is faster: its greatest when fast."""
    return {"slow": value.min, "usual": value.typ, "fast": value.max}[corner]


def against(value: Range, corner: Corner) -> float:
    """Return the end of a range at which less is faster: its least when fast."""
    return {"slow": value.max, "usual": value.typ, "fast": value.min}[corner]


def over_corners(fast: float, usual: float, slow: float) -> Range:
    """Return seconds at the three corners as a range."""
    return Range(min(fast, usual), usual, max(slow, usual))

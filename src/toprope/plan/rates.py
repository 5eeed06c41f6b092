"""What share of its figures a chip reaches, per kind of work, and how far figures carry over.

Reads `rates.toml`, where each share has its source. It must not know models or pools.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Any

from toprope.plan.ranges import Range

FAMILIES = ("prefill", "decode", "train")
# The chip that shares of peak and the decode constants were found on.
REFERENCE = "h100"
_MAKERS = {
    **dict.fromkeys(("a100", "h20", "h100", "h200", "h800", "b200", "b300", "gb200"), "nvidia"),
    **dict.fromkeys(("gb300", "rtx-"), "nvidia"),
    **dict.fromkeys(("mi300x", "mi355x"), "amd"),
    "ascend-": "huawei",
    "tpu-": "google",
}

RATES = Path(__file__).with_name("rates.toml")


@dataclass(frozen=True, slots=True)
class Rates:
    """The shares and constants of `rates.toml`."""

    train: Range
    prefill: Range
    measured_train: Range
    measured_prefill: Range
    decode_dense: Range
    decode_moe: Range
    exposed: Range
    checkpoint_s: Range
    restart_s: Range
    unmeasured: Range
    carries: tuple[Carry, ...]


@dataclass(frozen=True, slots=True)
class Carry:
    """One measured comparison of two chips at the same work."""

    work: str
    fast: str
    slow: str
    asked: str
    predicted: float
    measured: float
    source: str

    @property
    def factor(self) -> float:
        """Measured over predicted: above 1 the slow chip is slower than the planner says."""
        return self.measured / self.predicted


@cache
def load_rates() -> Rates:
    """Return the shipped rates."""
    raw = tomllib.loads(RATES.read_text("utf-8"))
    decode = raw["decode"]
    return Rates(
        train=_range(raw["train"]["share"]),
        prefill=_range(raw["prefill"]["share"]),
        measured_train=_range(raw["measured"]["train"]),
        measured_prefill=_range(raw["measured"]["prefill"]),
        decode_dense=_range(decode["dense"]),
        decode_moe=_range(decode["moe"]),
        exposed=_range(raw["exposed"]["share"]),
        checkpoint_s=_range(raw["interruption"]["checkpoint_s"]),
        restart_s=_range(raw["interruption"]["restart_s"]),
        unmeasured=_range(raw["unmeasured"]["carries"]),
        carries=tuple(Carry(**row) for row in raw["carries"]),
    )


def carries_over(work: str, fast: str, slow: str) -> tuple[Range, list[Carry]]:
    """Return how many times slower than predicted a chip is than another, and the rows.

    `work` is one of `FAMILIES`, chips are named by key.
    Between chips of one maker predictions stand, and rows of that maker make the band.
    Between two makers the usual is the mean of the rows between them. A pair of makers that was
    never measured gets the band of what nobody measured; a chip carries over to itself.
    """
    rates = load_rates()
    makers = _maker(fast), _maker(slow)
    if fast == slow:
        return Range.of(1.0), []
    found, factors = [], []
    for row in rates.carries:
        pair = _maker(row.fast), _maker(row.slow)
        if row.work == work and makers in (pair, pair[::-1]):
            found.append(row)
            factors.append(row.factor if makers == pair else 1 / row.factor)
    if not found:
        return rates.unmeasured, []
    usual = 1.0 if makers[0] == makers[1] else fmean(factors)
    return Range(min(1.0, *factors, usual), usual, max(1.0, *factors, usual)), found


@cache
def against_reference(chip: str) -> Mapping[str, float]:
    """Return how many times slower than predicted a chip usually is, per kind of work."""
    return {work: carries_over(work, REFERENCE, chip)[0].typ for work in FAMILIES}


def _maker(key: str) -> str:
    """Who makes a chip, by its key; of a chip of one's own, nobody who was measured."""
    return next((maker for start, maker in _MAKERS.items() if key.startswith(start)), key)


def _range(row: dict[str, Any]) -> Range:
    return Range(row["min"], row["typ"], row["max"])

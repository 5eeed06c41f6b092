"""What share of its figures a chip reaches, per kind of work, and how far figures carry over.

Reads `rates.toml`, where each share has its source. It must not know models or pools.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from toprope.plan.chips import Chip
from toprope.plan.ranges import Range

RATES = Path(__file__).with_name("rates.toml")


@dataclass(frozen=True, slots=True)
class Rates:
    """The shares and constants of `rates.toml`."""

    train: Range
    prefill: Range
    measured_train: Range
    measured_prefill: Range
    layer_dense_s: Range
    layer_moe_s: Range
    bandwidth: Range
    flops: Range
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
    datasheet: float
    measured: float
    source: str

    @property
    def factor(self) -> float:
        """Measured over datasheet: above 1 the slow chip is slower than its figures say."""
        return self.measured / self.datasheet


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
        layer_dense_s=_range(decode["layer_dense_us"]) * 1e-6,
        layer_moe_s=_range(decode["layer_moe_us"]) * 1e-6,
        bandwidth=_range(decode["bandwidth"]),
        flops=_range(decode["flops"]),
        exposed=_range(raw["exposed"]["share"]),
        checkpoint_s=_range(raw["interruption"]["checkpoint_s"]),
        restart_s=_range(raw["interruption"]["restart_s"]),
        unmeasured=_range(raw["unmeasured"]["carries"]),
        carries=tuple(Carry(**row) for row in raw["carries"]),
    )


def carries_over(work: str, fast: Chip, slow: Chip) -> tuple[Range, list[Carry]]:
    """Return how far a ratio of two chips' figures may be off for a kind of work, and the rows.

    Of two chips of one maker the rows of that maker's chips count; otherwise all rows of that
    work. A chip that is in no row at all gets the band of what nobody measured. The same chip
    on both sides carries over as it is.
    """
    rates = load_rates()
    if fast.key == slow.key:
        return Range.of(1.0), []
    rows = [row for row in rates.carries if row.work == work]
    seen = {key for row in rates.carries for key in (row.fast, row.slow)}
    if rows and all(_maker(chip) in {_maker_of(key) for key in seen} for chip in (fast, slow)):
        if _maker(fast) == _maker(slow):
            rows = [r for r in rows if _maker_of(r.fast) == _maker_of(r.slow)] or rows
        factors = [row.factor for row in rows]
        return Range(min(1.0, *factors), 1.0, max(1.0, *factors)), rows
    return rates.unmeasured, []


def _maker(chip: Chip) -> str:
    return chip.name.split()[0].lower()


def _maker_of(key: str) -> str:
    return "huawei" if key.startswith("ascend") else "nvidia"


def _range(row: dict[str, Any]) -> Range:
    return Range(row["min"], row["typ"], row["max"])

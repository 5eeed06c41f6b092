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
    sync: Range
    checkpoint_s: Range
    restart_s: Range
    unmeasured: Range
    carries: tuple[Carry, ...]


@dataclass(frozen=True, slots=True)
class Carry:
    """A chip measured at some work: how many times the predicted time it took."""

    work: str
    chip: str
    slower: float
    told: str
    source: str


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
        sync=_range(raw["sync"]["share"]),
        checkpoint_s=_range(raw["interruption"]["checkpoint_s"]),
        restart_s=_range(raw["interruption"]["restart_s"]),
        unmeasured=_range(raw["unmeasured"]["slower"]),
        carries=tuple(Carry(**row) for row in raw["measured_at"]),
    )


@cache
def slower_than_predicted(work: str, chip: str) -> tuple[Range, tuple[Carry, ...]]:
    """Return how many times its predicted time a chip takes for a kind of work, and the rows.

    The ends are its maker's rows and 1, the usual is their mean; of the reference's maker it is 1,
    since shares and constants are that maker's. A maker that was never measured gets the band
    of what nobody measured.
    """
    rates = load_rates()
    rows = [row for row in rates.carries if row.work == work]
    made = tuple(row for row in rows if _maker(row.chip) == _maker(chip))
    if not made:
        return rates.unmeasured, ()
    usual = 1.0 if _maker(chip) == _maker(REFERENCE) else fmean(row.slower for row in made)
    every = [1.0, usual, *(row.slower for row in made)]
    return Range(min(every), usual, max(every)), made


def carries_over(work: str, fast: str, slow: str) -> tuple[Range, list[Carry]]:
    """Return how far a count of `slow` chips for `fast` ones may be off: 1 as predicted.

    `work` is one of `FAMILIES`, chips are named by key. What is usual of both is part of their
    predictions; the ends are those of the slow chip. A chip carries over to itself.
    """
    if fast == slow:
        return Range.of(1.0), []
    mine, rows = slower_than_predicted(work, slow)
    _, others = slower_than_predicted(work, fast)
    return mine / mine.typ, list(dict.fromkeys([*others, *rows]))


@cache
def usually_slower(chip: str) -> Mapping[str, float]:
    """Return how many times its predicted time a chip usually takes, per kind of work."""
    return {work: slower_than_predicted(work, chip)[0].typ for work in FAMILIES}


def _maker(key: str) -> str:
    """Who makes a chip, by its key; of a chip of one's own, nobody who was measured."""
    return next((maker for start, maker in _MAKERS.items() if key.startswith(start)), key)


def _range(row: dict[str, Any]) -> Range:
    return Range(row["min"], row["typ"], row["max"])

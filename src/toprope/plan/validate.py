"""The planner beside what was published: runs, sums and memory, each with its arithmetic.

Nothing here is fitted; `published.toml` has the figures. What cannot be predicted is listed
with what is missing.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from math import prod
from pathlib import Path
from typing import Any

from toprope.plan import breakdown, flops
from toprope.plan.chipfile import load_chips
from toprope.plan.chips import Chips
from toprope.plan.estimate import Estimate, estimate
from toprope.plan.money import tariff
from toprope.plan.pool import Pool
from toprope.plan.ranges import Range
from toprope.plan.shapes import find_shape
from toprope.plan.units import number, told
from toprope.plan.workload import Workload, presets

PUBLISHED = Path(__file__).with_name("published.toml")
FLAT_MFU = 0.35
# How far off a run may be to count as reproduced: what a flat 35 % MFU reaches on 10 of 11.
WITHIN = 0.2749  # 27 % when rounded; the farthest of the ten is 27.2 % off
_UNITS = {"GiB": 2.0**30, "GB": 1e9, "KB": 1e3}


@dataclass(frozen=True, slots=True)
class RunCheck:
    """A published run: chip-hours over the planner's as ranges, and over a flat MFU's."""

    name: str
    pool: str
    tokens: float
    published: float  # chip-hours
    predicted: Range  # chip-hours
    flat: float | None  # chip-hours at FLAT_MFU of 6ND
    mfu: float | None  # what 6ND over all published hours comes to
    steps: str  # the prediction's arithmetic, usual case
    source: str
    note: str

    @property
    def off(self) -> float:
        """Predicted over published, less 1."""
        return self.predicted.typ / self.published - 1

    @property
    def flat_off(self) -> float | None:
        """The flat MFU's prediction over published, less 1."""
        return None if self.flat is None else self.flat / self.published - 1

    @property
    def reproduced(self) -> bool:
        """Whether the usual prediction is within `WITHIN` of what was published."""
        return abs(self.off) <= WITHIN

    @property
    def in_range(self) -> bool:
        """Whether what was published lies within the predicted range."""
        return self.predicted.min <= self.published <= self.predicted.max


@dataclass(frozen=True, slots=True)
class SumCheck:
    """A figure computed from published parts beside the published whole."""

    what: str
    steps: str
    value: float
    published: float
    unit: str
    source: str
    note: str = ""

    @property
    def off(self) -> float:
        """Computed over published, less 1."""
        return self.value / self.published - 1


@dataclass(frozen=True, slots=True)
class Validation:
    """Everything laid beside each other. `unpredicted` says what is missing, by run."""

    training: tuple[RunCheck, ...]
    post: tuple[RunCheck, ...]
    sums: tuple[SumCheck, ...]
    memory: tuple[SumCheck, ...]
    unpredicted: Mapping[str, str]

    @property
    def reproduced(self) -> list[RunCheck]:
        """The training runs that are reproduced."""
        return [run for run in self.training if run.reproduced]

    @property
    def flat(self) -> list[RunCheck]:
        """The training runs that a flat MFU reproduces."""
        return [run for run in self.training if abs(run.flat_off or 1.0) <= WITHIN]


def validate(chips: Chips | None = None) -> Validation:
    """Return the planner's figures beside the published ones."""
    known = load_chips() if chips is None else chips
    raw = _published()
    return Validation(
        training=tuple(_trained(name, row, known) for name, row in raw["training"].items()),
        post=tuple(_post(name, row, known) for name, row in raw["post"].items()),
        sums=tuple(_summed(row) for row in raw["sums"]),
        memory=tuple(_memory(row) for row in raw["memory"]),
        unpredicted=raw["unpredicted"],
    )


@cache
def _published() -> dict[str, Any]:
    return tomllib.loads(PUBLISHED.read_text("utf-8"))


def _trained(name: str, row: Mapping[str, Any], chips: Chips) -> RunCheck:
    shape = find_shape(row["model"])
    work = Workload(
        name=name,
        kind="pretrain",
        shape=shape,
        context=row["context"],
        tokens=row["tokens"],
        step_sequences=row["step_sequences"],
    )
    chip = chips[row["chip"]]
    peak = chip.peak("bf16")
    flat = mfu = None
    if peak is not None:
        busy = 6 * (shape.active or shape.total) * row["tokens"] / (peak.typ * 3600)
        flat, mfu = busy / FLAT_MFU, busy / row["chip_hours"]
    return _check(name, work, row, chips, flat, mfu)


def _post(name: str, row: Mapping[str, Any], chips: Chips) -> RunCheck:
    return _check(name, presets()[row["workload"]], row, chips, None, None)


def _check(
    name: str,
    work: Workload,
    row: Mapping[str, Any],
    chips: Chips,
    flat: float | None,
    mfu: float | None,
) -> RunCheck:
    pool = Pool(row["chips"], chips[row["chip"]])
    found = estimate(work, pool, tariff("us"))
    return RunCheck(
        name=name,
        pool=str(pool),
        tokens=work.trained,
        published=row["chip_hours"],
        predicted=found.seconds * (pool.count / 3600),
        flat=flat,
        mfu=mfu,
        steps=_steps(work, found),
        source=row["source"],
        note=row.get("note", ""),
    )


def _steps(work: Workload, found: Estimate) -> str:
    """The usual prediction as a product; of work in phases, the phases' hours added."""
    chips, hours = found.pool.count, found.seconds.typ / 3600
    whole = f"{chips:,} chips x {number(hours)} h = {number(chips * hours)}"
    kept = f"{number(found.goodput.typ * 100)} % not interrupted"
    if work.kind != "pretrain":
        parts = " + ".join(f"{p.name} {number(p.seconds.typ / 3600)}" for p in found.phases)
        return f"({parts}) h / {kept}; {whole}"
    each = flops.training(work.shape, 1.0, work.context)
    busy = found.phases[0].seconds.typ * chips
    rate = told(each * work.tokens / busy, "FLOP/s")
    product = f"{told(each, 'FLOP')} a token x {number(work.tokens / 1e9)} B / {rate} a chip"
    return f"{product} / {kept}; {whole}"


def _summed(row: Mapping[str, Any]) -> SumCheck:
    value = sum(prod(part) for part in row["parts"]) * row.get("times", 1)
    value /= prod(row.get("over", [1]))
    told = {name: row[name] for name in ("what", "steps", "published", "unit", "source")}
    return SumCheck(value=value, **told)


def _memory(row: Mapping[str, Any]) -> SumCheck:
    unit = row.get("unit", "GiB")
    held, steps = _held(row)
    return SumCheck(
        what=row["what"],
        steps=steps,
        value=held / _UNITS[unit],
        published=row["published"],
        unit=unit,
        source=row["source"],
        note=row.get("note", ""),
    )


def _held(row: Mapping[str, Any]) -> tuple[float, str]:
    kind = row["kind"]
    if kind == "zero":
        steps = f"16 bytes a parameter, stage {row['stage']} over {row['shards']}"
        return breakdown.zero(row["parameters"], row["stage"], row["shards"]), steps
    shape = find_shape(row["model"])
    if kind == "states":
        steps = f"{row['bytes']} bytes x parameters / ({row['tensor']} x {row['pipeline']})"
        return breakdown.states(shape, row["tensor"], row["pipeline"], row["bytes"]), steps
    if kind == "cache":
        steps = f"{shape.kv_values_per_token:,.0f} values a token x {row['bytes']} bytes"
        return shape.kv_values(row["tokens"]) * row["bytes"], steps
    if kind == "weights":
        return shape.parameters * row["bytes"], f"{row['bytes']} bytes x parameters"
    cut = {name: row[name] for name in ("sequence", "micro_batch", "tensor", "pipeline")}
    held = breakdown.activations(shape, row["how"], interleave=row["interleave"], **cut)
    return held, f"arXiv 2205.05198, {row['how']}"

"""What each claim rests on: numbers from the chip table and the planner, each with its resource.

A function per sentence; it returns evidence for and against. It must not know how it is shown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from toprope.plan.chips import Chip
from toprope.plan.counts import whole_count
from toprope.plan.equal import flops_only
from toprope.plan.fit import fit
from toprope.plan.lag import Lag, years_behind
from toprope.plan.money import hourly, matched_ratio, tariffs
from toprope.plan.pool import Pool
from toprope.plan.ranges import Range
from toprope.plan.shapes import find_shape
from toprope.plan.units import number, told
from toprope.plan.workload import Workload, load_workload

Chips = Mapping[str, Chip]
_SERVERS = ("a100", "h20", "h800", "h100", "h200", "b200", "mi300x", "ascend-910b", "ascend-910c")
_PFLOP = 1e15


@dataclass(frozen=True, slots=True)
class Evidence:
    """One number in words, whether it holds the sentence up, and the resource it is about."""

    words: str
    holds: bool
    binds: str


def count(chips: Chips, per_kwh: Range) -> list[Evidence]:
    """Counts by phases against counts by FLOPs, over workloads and pairs of chips."""
    pairs = (("b200", 256, "h100"), ("b200", 256, "h20"), ("h100", 512, "ascend-910c"))
    found = [
        _counted(load_workload(name), Pool(n, chips[fast]), chips[slow])
        for name in ("pretrain-671b", "rl-32b", "serve-671b")
        for fast, n, slow in pairs
    ]
    tight = replace(load_workload("serve-671b"), speed=100.0)
    return [*found, _counted(tight, Pool(72, chips["gb200"]), chips["h100"])]


def _counted(work: Workload, fast: Pool, slow: Chip) -> Evidence:
    precision = work.precision if work.kind == "serve" else "bf16"
    plain = flops_only(fast, slow, precision)
    speed = f" at {work.speed:g} tokens/s a user" if work.speed else ""
    found = whole_count(fast, slow, work)
    words = f"{work.about}{speed}: {fast} are matched by {found.told()} {slow.name}; "
    words += f"FLOPs alone say {told(plain, '1')}"
    if found.usual is None:
        words = f"{work.about}{speed}: no number of {slow.name} matches {fast}"
        words += f", at best {number(found.floor)} times its time; FLOPs alone say "
        return Evidence(words + told(plain, "1"), False, found.binds)
    return Evidence(words, 0.8 <= found.usual / plain.typ <= 1.25, found.binds)


def models(chips: Chips, per_kwh: Range) -> list[Evidence]:
    """What eight chips hold: DeepSeek-V3 in FP8, and sequences of 64k of Qwen3-32B."""
    large = replace(load_workload("serve-671b"), prompt_tokens=4096.0, speed=0.0)
    small = replace(
        large, shape=find_shape("qwen3-32b"), precision="bf16", prompt_tokens=64512.0, context=65536
    )
    found = []
    for key in _SERVERS:
        chip = chips[key]
        needed = fit(large, Pool(8, chip))[-1].needed
        at_once = fit(small, Pool(8, chip))[-1].sequences
        words = f"{chip.name}: DeepSeek-V3 in FP8 takes {told(needed, '1')} chips to hold"
        words += f"; eight hold {told(at_once or 0.0, '1')} sequences of 64k of Qwen3-32B"
        found.append(Evidence(words, needed.typ <= 8, "capacity"))
    total = "in aggregate any of them holds any model: enough chips have enough memory"
    found.append(Evidence(total, True, "capacity"))
    return found


def price(chips: Chips, per_kwh: Range) -> list[Evidence]:
    """$ per BF16 PFLOP-hour over a B200's, paid alike; then with the B200 in FP4."""
    base, found = chips["b200"], []
    for key in ("h100", "h200", "h20", "ascend-910b", "ascend-910c"):
        chip = chips[key]
        for basis, paid in (("rent", "rented"), ("buy", "bought")):
            mine, theirs = hourly(chip, per_kwh, basis), hourly(base, per_kwh, basis)
            if mine.dollars is None or theirs.dollars is None:
                continue
            each = mine.dollars / (_bf16(chip) / _PFLOP)
            ratio = matched_ratio(mine.dollars, theirs.dollars) * (_bf16(base) / _bf16(chip))
            words = f"{chip.name} {paid}: {told(each, '$')} per BF16 PFLOP-hour, "
            words += f"{told(ratio, '1')} times a B200's"
            found.append(Evidence(words, ratio.typ >= 5, "price"))
            narrow = ratio * (base.peaks["fp4"].rate.range.typ / _bf16(base))
            words = f"{chip.name} {paid}, in BF16 against a B200 in FP4: {told(narrow, '1')} times"
            found.append(Evidence(words, narrow.typ >= 5, "precision"))
    return found


def nodes(chips: Chips, per_kwh: Range) -> list[Evidence]:
    """All-in kW per PFLOP/s, and what more chips cost beside electricity."""
    found = []
    best = _kw_per_pflop(chips["gb200"])
    for key in ("a100", "ascend-910b", "ascend-910c", "h100", "b200"):
        chip = chips[key]
        each = _kw_per_pflop(chip)
        words = (
            f"{chip.name} ({chip.process}): {told(each * 1000, 'W')} all-in per BF16 "
            f"PFLOP/s, {told(each / best.typ, '1')} times a GB200's"
        )
        found.append(Evidence(words, each.typ > best.typ, "power"))
    for key in ("b200", "h100", "ascend-910b"):
        chip = chips[key]
        needed = round(1000 * chips["b200"].peaks["bf16"].rate.range.typ / _bf16(chip))
        hours = chip.failure.range / needed
        words = (
            f"{needed:,} {chip.name} (1,000 B200 by FLOPs) are interrupted every {told(hours, 's')}"
            ", if a chip fails as often as an H100"
        )
        found.append(Evidence(words, key == "b200", "reliability"))
    return found


def electricity(chips: Chips, per_kwh: Range) -> list[Evidence]:
    """What power is of a bought chip's hour, and what the cheapest tariff saves."""
    cheap = tariffs()["china-subsidised"]
    theirs = _per_pflop(chips["b200"], per_kwh)
    found = []
    for key in ("ascend-910c", "ascend-910b", "h20"):
        chip = chips[key]
        dear, saved = _per_pflop(chip, per_kwh), _per_pflop(chip, cheap)
        hour = hourly(chip, per_kwh, "buy")
        if theirs is None or dear is None or saved is None or hour.dollars is None:
            continue
        share = matched_ratio(hour.of_it_power, hour.dollars) * 100
        words = (
            f"{chip.name}: power is {told(share, '%')} of what its hour costs; at "
            f"{told(cheap * 100, '1')} cents a kWh {told(saved, '$')} per BF16 PFLOP-hour instead "
            f"of {told(dear, '$')}; a B200 at {told(per_kwh * 100, '1')} cents {told(theirs, '$')}"
        )
        found.append(Evidence(words, saved.typ <= theirs.typ, "power"))
    return found


def behind_two_to_four(chips: Chips, per_kwh: Range) -> list[Evidence]:
    """Years behind per resource, of Huawei's newest shipped chips."""
    return _behind(chips, 2.0, 4.0)


def behind_seven_to_ten(chips: Chips, per_kwh: Range) -> list[Evidence]:
    """The same against seven to ten."""
    return _behind(chips, 7.0, 10.0)


def _behind(chips: Chips, least: float, most: float) -> list[Evidence]:
    found = []
    for key in ("ascend-910c", "ascend-950pr"):
        for lag in years_behind(chips[key], chips):
            holds = lag.years is not None and least <= lag.years <= most
            found.append(Evidence(_lagged(chips[key], lag), holds, lag.resource))
    return found


def _lagged(chip: Chip, lag: Lag) -> str:
    if lag.value is None:
        return f"{chip.name}: {lag.resource} is not published"
    value = told(lag.value, lag.dimension)
    if lag.first is None:
        return f"{chip.name} {lag.resource}: {value}, which no other maker's chip here has yet"
    when = f"{abs(lag.years or 0):.1f} years {'earlier' if (lag.years or 0) >= 0 else 'later'}"
    return f"{chip.name} {lag.resource}: {value}; {lag.first.name} had it {when}"


def inference(chips: Chips, per_kwh: Range) -> list[Evidence]:
    """Chips sold for inference against the best GPU that shipped by then, per resource."""
    found = []
    for key in ("tpu-v5e", "tpu-v7", "trainium2", "ascend-950pr"):
        chip = chips[key]
        gpus = [c for c in chips.values() if c.name.startswith(("NVIDIA", "AMD"))]
        gpus = [c for c in gpus if c.released <= chip.released and c.link]
        best = max(gpus, key=lambda gpu: gpu.bandwidth.range.typ)
        ratio = chip.bandwidth.range / best.bandwidth.range
        words = f"{chip.name} reads {told(chip.bandwidth.range, 'B/s')}, {told(ratio, '1')} times "
        words += f"{best.name}, the widest GPU by then"
        found.append(Evidence(words, ratio.typ > 1, "bandwidth"))
        best = max(gpus, key=lambda gpu: _narrowest(gpu).typ)
        ratio = _narrowest(chip) / _narrowest(best)
        words = f"{chip.name} computes {told(ratio, '1')} times {best.name} at each one's narrowest"
        found.append(Evidence(words, ratio.typ > 1, "FLOPs"))
    return found


def h800(chips: Chips, per_kwh: Range) -> list[Evidence]:
    """The H800's figures over the H100's."""
    return _against(chips["h800"], chips["h100"], lambda ratio: ratio < 0.95)


def h200(chips: Chips, per_kwh: Range) -> list[Evidence]:
    """The H200's figures over the H100's."""
    return _against(chips["h200"], chips["h100"], lambda ratio: ratio > 1.05)


def ascend_950(chips: Chips, per_kwh: Range) -> list[Evidence]:
    """The shipped 950PR and the announced 950DT over the H200."""
    fine = _against(chips["ascend-950pr"], chips["h200"], lambda ratio: ratio >= 0.9)
    return fine + _against(chips["ascend-950dt"], chips["h200"], lambda ratio: ratio >= 0.9)


def _against(one: Chip, other: Chip, holds: Callable[[float], bool]) -> list[Evidence]:
    figures = {
        "FLOPs": (one.peaks["bf16"].rate.range, other.peaks["bf16"].rate.range),
        "bandwidth": (one.bandwidth.range, other.bandwidth.range),
        "capacity": (one.memory.range, other.memory.range),
    }
    if one.link and other.link:
        figures["link"] = (one.link.rate.range, other.link.rate.range)
    found = []
    for resource, (mine, theirs) in figures.items():
        words = f"{one.name}: {told(mine / theirs, '1')} times the {resource} of {other.name}"
        found.append(Evidence(words, holds(mine.typ / theirs.typ), resource))
    return found


def _bf16(chip: Chip) -> float:
    return chip.peaks["bf16"].rate.range.typ


def _narrowest(chip: Chip) -> Range:
    return max((peak.rate.range for peak in chip.peaks.values()), key=lambda rate: rate.typ)


def _kw_per_pflop(chip: Chip) -> Range:
    return chip.power.range / 1000 / (_bf16(chip) / _PFLOP)


def _per_pflop(chip: Chip, per_kwh: Range) -> Range | None:
    dollars = hourly(chip, per_kwh, "buy").dollars
    return dollars / (_bf16(chip) / _PFLOP) if dollars else None

"""Answers as lines for a terminal: aligned columns, every number with its unit and range.

It must not decide anything; the numbers come from the other files of this room.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from toprope.plan.chips import Chip
from toprope.plan.claims import Claim
from toprope.plan.climbrun import Compared
from toprope.plan.equal import Equal
from toprope.plan.estimate import Estimate
from toprope.plan.fit import Fit
from toprope.plan.money import Hourly, hourly, matched_ratio
from toprope.plan.ranges import Range
from toprope.plan.units import number, told
from toprope.plan.workload import Workload

_MARKS = {True: "+", False: "-"}


def columns(rows: Sequence[Sequence[str]], gap: str = "  ") -> list[str]:
    """Return rows as lines whose columns stand under each other; the first row is the head."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        gap.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def headline(answer: Equal) -> str:
    """Return the answer in one sentence."""
    fast, slow, work = answer.fast, answer.slow.name, answer.work
    plain = told(answer.by_flops, "1")
    if answer.whole.usual is None:
        least = f"; at best {number(answer.whole.floor)} times its time" * (
            answer.whole.floor < float("inf")
        )
        return (
            f"No number of {slow} does {work.name} in the time of {fast} "
            f"({answer.whole.binds} binds{least}). FLOPs alone would say {plain}."
        )
    return (
        f"{answer.whole.told()} {slow} do {work.name} in the time of {fast}; "
        f"{answer.whole.binds} binds. FLOPs alone would say {plain}."
    )


def equal_lines(answer: Equal, per_kwh: Range) -> list[str]:
    """Return the whole answer of `equal`."""
    fast = answer.fast_estimate
    by_name = {phase.name: phase for phase in fast.phases}
    rows = [
        ("phase", f"time on {answer.fast}", f"{answer.slow.name}, how many", "what binds there")
    ]
    rows.append(("all of it", told(fast.seconds, "s"), answer.whole.told(), answer.whole.binds))
    for count in answer.phases:
        seconds = told(by_name[count.name].seconds, "s")
        rows.append((count.name, seconds, count.told(), count.binds))
    lines = [headline(answer), "", *workload_lines(answer.work), "", *columns(rows), ""]
    lines += ["What it takes:", *columns(sides(answer)), ""]
    lines += ["Price of FLOPs:", *columns(flop_prices(answer, per_kwh)), ""]
    lines += _listed("Does not carry over, at any number:", answer.not_carried)
    lines += _listed("Would change the answer to:", changes(answer))
    return lines + _listed("Rests on:", rests_on(answer))


def changes(answer: Equal) -> list[str]:
    """Return other questions near this one, with their counts."""
    return [
        f"{change.what}: {f'{change.usual:,}' if change.usual is not None else 'no number'}"
        for change in answer.changes
    ]


def rests_on(answer: Equal) -> list[str]:
    """Return the measured comparisons, prices and assumptions behind an answer."""
    lines = [
        f"{row.work} on {row.chip}: {number(row.slower)} times the predicted time: {row.told} "
        f"({row.source})"
        for row in answer.rows
    ]
    for work in answer.unmeasured:
        lines.append(f"{work}: nothing measured on chips of {answer.slow.name}'s maker")
    for chip in (answer.fast.chip, answer.slow):
        lines += [f"{chip.name}: {line}" for line in doubts(chip)]
    bases = {side.hour.basis for side in (answer.fast_estimate, answer.slow_estimate) if side}
    if len(bases) > 1:
        lines.append("no price of one kind is known for both chips: their money does not compare")
    lines.append("times within 3 % count as the same; shares of peak are taken equal on both sides")
    return lines


def doubts(chip: Chip) -> list[str]:
    """Return a chip's figures that are not the maker's and not measured, and its prices' dates."""
    figures = {name.upper(): peak.rate for name, peak in chip.peaks.items()}
    figures |= {"memory": chip.memory, "bandwidth": chip.bandwidth, "power": chip.power}
    if chip.link:
        figures["link"] = chip.link.rate
    found = [
        f"{name} {value}{': ' + value.note if value.note else ''}"
        for name, value in figures.items()
        if value.status not in ("datasheet", "measured")
    ]
    for name, price in (("rent", chip.rent), ("price", chip.buy)):
        if price:
            found.append(f"{name} {price} of {price.date}, {price.source.split(',')[0]}")
    return found


def sides(answer: Equal) -> list[tuple[str, ...]]:
    """Return what each side takes as rows: chips, time, energy, money."""
    rows: list[tuple[str, ...]] = [
        ("", "chips", "time", "energy, all-in", "money", "priced by", "not interrupted")
    ]
    for side in (answer.fast_estimate, answer.slow_estimate):
        if side is not None:
            rows.append((side.pool.chip.name, f"{side.pool.count:,}", *_taken(side)))
    return rows


def _taken(side: Estimate) -> tuple[str, str, str, str, str]:
    money = told(side.dollars, "$") if side.dollars else "nobody tells a price"
    kept = told(side.goodput * 100, "1") + " %"
    return (told(side.seconds, "s"), told(side.joules, "J"), money, _basis(side.hour), kept)


def _basis(hour: Hourly) -> str:
    return {"rent": "rent", "buy": "buying", "": "-"}[hour.basis]


def flop_prices(answer: Equal, per_kwh: Range) -> list[tuple[str, ...]]:
    """Return $ per dense PFLOP-hour of both, rented and bought, and the ratio, paid alike."""
    fast, slow = answer.fast.chip, answer.slow
    names = [fast.name, slow.name, "slow over fast"]
    rows: list[tuple[str, ...]] = [("$ per PFLOP-hour", *names)]
    shared = [name for name in fast.peaks if name in slow.peaks]
    for precision in shared:
        for basis, paid in (("rent", "rented"), ("buy", "bought")):
            hours = [hourly(chip, per_kwh, basis).dollars for chip in (fast, slow)]
            cells = [
                told(hour / (chip.peaks[precision].rate.range / 1e15), "$") if hour else "no price"
                for hour, chip in zip(hours, (fast, slow), strict=True)
            ]
            ratio = "-"
            if hours[0] and hours[1]:
                rates = fast.peaks[precision].rate.range / slow.peaks[precision].rate.range
                ratio = told(matched_ratio(hours[1], hours[0]) * rates, "1")
            if any(hours):
                rows.append((f"{precision.upper()} {paid}", *cells, ratio))
    return rows


def run_lines(found: Estimate) -> list[str]:
    """Return the answer of `run`."""
    rows = [("phase", "time", "share", "what binds", "how")]
    total = sum(phase.seconds.typ for phase in found.phases)
    for phase in found.phases:
        share = f"{phase.seconds.typ / total:.1%}"
        rows.append((phase.name, told(phase.seconds, "s"), share, phase.binds, phase.how))
    taken = _taken(found)
    paid = f" (by {taken[3]})" if found.dollars else ""
    lines = [*workload_lines(found.work), "", *columns(rows), ""]
    lines += [
        f"On {found.pool}: {taken[0]}, {taken[1]} all-in, {taken[2]}{paid}; {found.binds} binds.",
        f"Working and not interrupted: {taken[4]} of the time.",
    ]
    if found.environment_dollars.max > 0:
        lines.append(f"Processors for environments: {told(found.environment_dollars, '$')}.")
    return lines


def workload_lines(work: Workload) -> list[str]:
    """Return what the workload is, in three lines."""
    lines = [f"Workload {work.name}: {work.about or work.kind} ({work.source or 'your own'})"]
    shape = work.shape
    size = f"{number(shape.parameters / 1e9)} B parameters"
    if shape.is_moe:
        size += f", {number(shape.parameters_active / 1e9)} B active"
    how = "LoRA" if work.method == "lora" else "all weights"
    uses = [] if work.kind == "serve" else [f"trains {how} in {work.train_precision.upper()}"]
    if work.kind not in ("pretrain", "sft"):
        uses.append(f"samples in {work.precision.upper()}")
    if work.speed:
        uses.append(f"at least {number(work.speed)} tokens/s for a user")
    lines.append(f"  {shape.key}, {size}, {shape.attention_kind.upper()}; {'; '.join(uses)}")
    if work.kind in ("pretrain", "sft"):
        lines.append(f"  {number(work.tokens)} tokens in sequences of {work.context:,}")
    else:
        times = (
            f"{work.requests:,.0f} requests"
            if work.kind == "serve"
            else (f"{work.iterations:,} iterations of {work.episodes:,} episodes")
        )
        turns = "one turn" if work.turns == 1 else f"{work.turns} turns"
        lines.append(
            f"  {times}, {turns}, {number(work.length)} tokens each, "
            f"{number(work.sampled)} of them sampled"
        )
    return lines


def fit_lines(work: Workload, found: Sequence[Fit]) -> list[str]:
    """Return the answer of `fit`."""
    lines = workload_lines(work)
    for one in found:
        margin = "to spare" if one.spare.typ > 0 else "short"
        lines += ["", f"{one.use} on {one.where}: {one.verdict}; capacity binds"]
        rows = [("", "over all chips", "per chip")]
        rows += [
            (held.what, told(held.size, "B"), told(held.size / one.chips, "B")) for held in one.held
        ]
        rows.append(("usable memory", told(one.usable * one.chips, "B"), told(one.usable, "B")))
        spare = one.spare if one.spare.typ > 0 else Range.of(0.0) - one.spare
        rows.append((margin, told(spare * one.chips, "B"), told(spare, "B")))
        lines += ["  " + line for line in columns(rows)]
        lines.append(f"  fewest chips that hold it: {told(one.needed, '1')}")
        if one.sequences is not None:
            lines.append(f"  sequences held at once: {told(one.sequences, '1')}")
    return lines


def claim_lines(found: Iterable[Claim]) -> list[str]:
    """Return claims with their evidence: `+` holds it up, `-` breaks it."""
    lines = []
    for claim in found:
        lines += [f"{claim.verdict.upper()}: {claim.sentence}"]
        lines += [f"  {_MARKS[one.holds]} {one.words} [{one.binds}]" for one in claim.evidence]
        lines.append("")
    return lines[:-1]


def meter_lines(found: Sequence[Compared]) -> list[str]:
    """Return predicted beside metered, phase by phase."""
    rows = [
        ("phase", "FLOPs metered", "predicted", "off by", "time metered", "predicted", "inside")
    ]
    for one in found:
        off = one.flops_predicted / one.flops_metered - 1 if one.flops_metered else 0.0
        inside, seconds = "-", "-"
        if one.seconds_predicted is not None:
            low, high = one.seconds_predicted.min, one.seconds_predicted.max
            inside = "yes" if low <= one.seconds_metered <= high else "no"
            seconds = told(one.seconds_predicted, "s")
        rows.append(
            (
                one.phase,
                told(one.flops_metered, "FLOP"),
                told(one.flops_predicted, "FLOP"),
                f"{off:+.0%}",
                told(one.seconds_metered, "s"),
                seconds,
                inside,
            )
        )
    return columns(rows)


def chip_rows(chips: Mapping[str, Chip]) -> list[str]:
    """Return every chip in a line: its main figures with their ranges."""
    rows = [
        ("chip", "shipped", "BF16 dense", "memory", "bandwidth", "link x domain", "all-in", "rent")
    ]
    for chip in chips.values():
        bf16 = chip.peak("bf16") or chip.peak("fp32")
        link = f"{told(chip.link.rate.range, 'B/s')} x {chip.link.domain}" if chip.link else "-"
        rent = told(chip.rent.range, "$/h") if chip.rent else "-"
        shipped = chip.released + (" plan" if chip.status == "announced" else "")
        rows.append(
            (
                chip.key,
                shipped,
                told(bf16, "FLOP/s") if bf16 else "-",
                told(chip.memory.range, "B"),
                told(chip.bandwidth.range, "B/s"),
                link,
                told(chip.power.range, "W"),
                rent,
            )
        )
    return columns(rows)


def _listed(title: str, lines: Iterable[str]) -> list[str]:
    found = [f"  - {line}" for line in lines]
    return [title, *found, ""] if found else []

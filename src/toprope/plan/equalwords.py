"""What an `equal` answer says, as lines and as rows for any table.

It must not decide anything; the numbers come from the other files of this room.
"""

from __future__ import annotations

from collections.abc import Mapping

from toprope.plan.chips import Chip
from toprope.plan.equal import Equal
from toprope.plan.lines import columns, listed, prose
from toprope.plan.money import hourly, matched_ratio
from toprope.plan.ranges import Range
from toprope.plan.units import number, told
from toprope.plan.words import interrupted, money, paid_by, workload_lines


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


def plainly(answer: Equal, meanings: Mapping[str, str]) -> list[str]:
    """Return the answer for who never rented a chip: what each side takes, what decides."""
    lines = []
    for side in (answer.fast_estimate, answer.slow_estimate):
        if side is not None:
            cost = f"and cost {money(side)}" if side.dollars else "at a price nobody tells"
            energy = f"use {told(side.joules, 'J')} of electricity"
            lines.append(f"{side.pool} take {told(side.seconds, 's')}, {energy} {cost}.")
    binds = answer.whole.binds
    lines.append(f"What decides on the slow side is {binds}: {meanings.get(binds, binds)}.")
    plain = told(answer.by_flops, "1")
    lines.append(
        f"If only multiplications counted it would take {plain} of them; the rest is the "
        "difference that memory, networks and waiting make."
    )
    return lines


def equal_lines(answer: Equal, per_kwh: Range) -> list[str]:
    """Return the whole answer of `equal`."""
    lines = [*prose(headline(answer)), "", *workload_lines(answer.work), ""]
    lines += ["Time on the fast side, and how many of the slow chip take no longer:"]
    lines += [*columns(phase_rows(answer)), "", "What it takes:", *columns(sides(answer)), ""]
    lines += ["Price of FLOPs:", *columns(flop_prices(answer, per_kwh)), ""]
    lines += listed("Does not carry over, at any number:", answer.not_carried)
    lines += listed("Would change the answer to:", changes(answer))
    return lines + listed("Rests on:", rests_on(answer))


def phase_rows(answer: Equal) -> list[tuple[str, ...]]:
    """Return a row for the whole and for each phase: time, count, what binds."""
    fast = answer.fast_estimate
    by_name = {phase.name: phase for phase in fast.phases}
    rows: list[tuple[str, ...]] = [
        ("phase", str(answer.fast), short(answer.slow), "what binds there")
    ]
    rows.append(("all of it", told(fast.seconds, "s"), answer.whole.told(), answer.whole.binds))
    for count in answer.phases:
        seconds = told(by_name[count.name].seconds, "s")
        rows.append((count.name, seconds, count.told(), count.binds))
    return rows


def changes(answer: Equal) -> list[str]:
    """Return other questions near this one, with their counts."""
    return [f"{change.count.told()}: {change.what}" for change in answer.changes]


def rests_on(answer: Equal) -> list[str]:
    """Return the measured comparisons, prices and assumptions behind an answer."""
    lines = [
        f"{row.work} on {row.chip} took {number(row.slower)} times its predicted time: "
        f"{row.told} ({row.source})"
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
    """Return what each side takes as rows: time, energy, money, interruptions."""
    both = [s for s in (answer.fast_estimate, answer.slow_estimate) if s is not None]
    return [
        ("", *(f"{side.pool.count:,} x {short(side.pool.chip)}" for side in both)),
        ("time", *(told(side.seconds, "s") for side in both)),
        ("energy, all-in", *(told(side.joules, "J") for side in both)),
        ("money", *(money(side) for side in both)),
        ("priced by", *(paid_by(side.hour) for side in both)),
        ("not interrupted", *(interrupted(side) for side in both)),
    ]


def flop_prices(answer: Equal, per_kwh: Range) -> list[tuple[str, ...]]:
    """Return $ per dense PFLOP-hour of both, rented and bought, and the ratio, paid alike."""
    fast, slow = answer.fast.chip, answer.slow
    rows: list[tuple[str, ...]] = [("$ per PFLOP-hour", short(fast), short(slow), "slow over fast")]
    for precision in (name for name in fast.peaks if name in slow.peaks):
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


def short(chip: Chip) -> str:
    """Return a chip's name where a table has room for it, else its key."""
    return chip.name if len(chip.name) <= 20 else chip.key

"""The pictures of an `equal` answer: counts per phase, time by resource, roofline, cost by time.

It draws numbers that were computed elsewhere, and those of the same workload on other pool
sizes.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from toprope.drawing.svg import WIDTH, box, dot, drawing, line, path, text
from toprope.plan import flops
from toprope.plan.counts import Count
from toprope.plan.equal import Equal
from toprope.plan.estimate import CannotRun, Estimate, estimate
from toprope.plan.machine import machine
from toprope.plan.memory import cache_bytes
from toprope.plan.money import on_one_basis
from toprope.plan.pool import Pool
from toprope.plan.ranges import Range
from toprope.plan.scale import LogAxes, round_times
from toprope.plan.serving import RESOURCES, WIDEST
from toprope.plan.units import number, told
from toprope.plan.workload import WEIGHT_BYTES, Workload

_ROW = 34.0


def counts(answer: Equal) -> str:
    """How many slow chips each phase takes: a dot, its reach, and the two marks to compare with."""
    rows = [answer.whole, *(count for count in answer.phases if count.name != "environment")]
    marks = [float(answer.fast.count), answer.by_flops.typ]
    known = [float(end) for row in rows for end in (row.least, row.usual, row.most) if end]
    height = _ROW * len(rows) + 62
    axes = LogAxes.over(height, [*known, *marks], left=172)
    parts = axes.x_axis(number, "chips needed")
    base = axes.frame.height - axes.frame.bottom
    for at, kind in zip(marks, ("mark-at", "mark-flops"), strict=True):
        parts.append(line(axes.x(at), axes.frame.top, axes.x(at), base, kind))
    for i, row in enumerate(rows):
        parts += _count_row(axes, axes.frame.top + _ROW * (i + 0.5), row)
    label = "; ".join(f"{row.name}: {row.told()}" for row in rows)
    return drawing(height, parts, f"Chips needed per phase: {label}")


def _count_row(axes: LogAxes, y: float, row: Count) -> list[str]:
    parts = [text(axes.frame.left - 8, y + 4, row.name, "rowlabel", "end")]
    edge = WIDTH - axes.frame.right
    if row.usual is None:
        words = f"no number is enough ({row.binds})"
        return [*parts, text(edge, y + 4, words, "value", "end")]
    low = axes.x(row.least or row.usual)
    high = axes.x(row.most) if row.most else edge
    parts.append(line(low, y, high, y, "reach"))
    tip = f"{row.name}: {row.told()}, {row.binds} binds"
    parts.append(dot(axes.x(row.usual), y, "slow", tip, 5))
    near_edge = axes.x(row.usual) > edge - 60
    parts.append(
        text(axes.x(row.usual), y - 9, f"{row.usual:,}", "value", "end" if near_edge else "middle")
    )
    return parts


def times(sides: Sequence[Estimate]) -> str:
    """Where the time goes on each side, by resource, as bars to one scale."""
    longest = max(side.seconds.max for side in sides)
    left, right = 10.0, 12.0
    width = WIDTH - left - right
    parts: list[str] = []
    for i, side in enumerate(sides):
        y = 8 + i * 62.0
        parts.append(text(left, y + 12, str(side.pool), "rowlabel", "start"))
        parts.append(text(WIDTH - right, y + 12, told(side.seconds, "s"), "value", "end"))
        at = left
        for resource in RESOURCES:
            seconds = _on(side, resource)
            size = width * seconds / longest
            share = seconds / side.seconds.typ
            tip = f"{resource}: {told(seconds, 's')}, {share:.0%}"
            parts.append(box(at, y + 20, size, 20, f"r-{resource.lower()}", tip))
            at += size
        ends = [left + width * end / longest for end in (side.seconds.min, side.seconds.max)]
        parts.append(line(ends[0], y + 46, ends[1], y + 46, "axis"))
    label = "; ".join(f"{side.pool} {told(side.seconds, 's')}" for side in sides)
    return drawing(62.0 * len(sides) + 4, parts, f"Time by resource: {label}")


def _on(side: Estimate, resource: str) -> float:
    """Seconds a side spends on a resource, interruptions included under reliability."""
    if resource == "reliability":
        return side.seconds.typ * (1 - side.goodput.typ)
    return sum(phase.shares.get(resource, 0.0) * phase.seconds.typ for phase in side.phases)


def resources_used(sides: Sequence[Estimate]) -> list[str]:
    """Return the resources that take at least a hundredth of either side's time."""
    return [r for r in RESOURCES if any(_on(side, r) > 0.01 * side.seconds.typ for side in sides)]


def roofline(answer: Equal) -> str:
    """What a chip can compute at so many FLOPs per byte read, and where phases lie on it."""
    work = answer.work
    key = work.train_precision if work.kind in ("pretrain", "sft") else work.precision
    sides = [("fast", answer.fast.chip), ("slow", answer.slow)]
    machines = [(kind, machine(chip)) for kind, chip in sides]
    points = phase_intensities(work, answer)
    rates = [here.peaks[here.precision(key)] for _, here in machines]
    knees = [rate / here.bandwidth for rate, (_, here) in zip(rates, machines, strict=True)]
    spread = [min(p[1] for p in points) / 2, *knees, max(p[1] for p in points) * 2]
    low, high = min(spread), max(spread)
    lowest = min(low * here.bandwidth for _, here in machines)
    axes = LogAxes.over(300, [low, high], [lowest / 3, *rates], left=118)
    parts = axes.x_axis(number, "FLOPs per byte read from memory")
    parts += axes.y_axis(lambda value: told(value, "FLOP/s"))
    for (kind, here), rate, knee in zip(machines, rates, knees, strict=True):
        bend = [(low, low * here.bandwidth), (knee, rate), (high, rate)]
        parts.append(path([(axes.x(x), axes.y(y)) for x, y in bend], f"roof {kind}"))
        for name, intensity in points:
            reach = min(rate, intensity * here.bandwidth)
            tip = f"{name} on {here.chip.name}: {number(intensity)} FLOPs per byte, at most "
            parts.append(dot(axes.x(intensity), axes.y(reach), kind, tip + told(reach, "FLOP/s")))
    for i, (name, intensity) in enumerate(points):
        y = axes.frame.height - axes.frame.bottom - 8 - 16 * (i % 2)
        parts.append(text(axes.x(intensity), y, name, "value"))
    said = "; ".join(f"{name} {number(x)} FLOPs per byte" for name, x in points)
    return drawing(300, parts, f"Roofline: {said}")


def phase_intensities(work: Workload, answer: Equal) -> list[tuple[str, float]]:
    """FLOPs per byte of each phase: a step at the fast side's batch, or a sequence."""
    shape = work.shape
    stored = WEIGHT_BYTES[work.precision]
    weights = shape.parameters_active * stored
    found = []
    names = [count.name for count in answer.phases]
    if "decode" in names:
        batch = _batch(answer)
        cached = shape.kv_values_read(work.length) * cache_bytes(work.precision)
        moved = weights + batch * cached
        done = batch * (2.0 * shape.parameters_active + shape.attention_flops(work.length))
        found.append(("decode", done / moved))
    if "prefill" in names:
        tokens = max(1.0, work.prefilled)
        found.append(("prefill", flops.forward(shape, tokens) / weights))
    if "train" in names:
        length = work.length or work.context
        done = flops.training(shape, length, length, work.method)
        found.append(("train", done / (3 * 2.0 * shape.parameters_active)))
    return found


def _batch(answer: Equal) -> float:
    """Sequences that share one reading of the weights on the fast side."""
    episodes = answer.work.episodes or 256
    return max(1.0, episodes / max(1.0, answer.fast.count / min(answer.fast.count, WIDEST)))


def cost_by_time(answer: Equal, per_kwh: Range) -> str:
    """Money over time for pools from an eighth of the answer to eight times it, both chips."""
    hours = on_one_basis(answer.fast.chip, answer.slow, per_kwh)
    middle = [answer.fast.count, answer.whole.usual or answer.fast.count]
    series = []
    for kind, chip, n, hour in zip(
        ("fast", "slow"), (answer.fast.chip, answer.slow), middle, hours, strict=True
    ):
        found = []
        for power in range(-3, 4):
            size = max(1, round(n * 2.0**power))
            try:
                found.append(estimate(answer.work, Pool(size, chip), per_kwh, hour))
            except CannotRun:
                continue
        series.append((kind, [one for one in found if one.dollars]))
    if not any(found for _, found in series):
        return ""
    return _cost_drawing(series)


def _cost_drawing(series: Sequence[tuple[str, list[Estimate]]]) -> str:
    every = [one for _, found in series for one in found]
    dollars = [end for one in every if one.dollars for end in (one.dollars.min, one.dollars.max)]
    axes = LogAxes.over(300, [one.seconds.typ for one in every], dollars, left=84)
    parts = axes.x_axis(lambda value: told(value, "s"), "time", round_times(*axes.frame.x))
    parts += axes.y_axis(lambda value: told(value, "$"))
    labels: list[tuple[float, float]] = []
    for kind, found in series:
        spots = [(axes.x(e.seconds.typ), axes.y(e.dollars.typ), e) for e in found if e.dollars]
        for (x1, y1, _), (x2, y2, _) in pairwise(spots):
            parts.append(line(x1, y1, x2, y2, f"roof {kind}"))
        for x, y, one in sorted(spots, key=lambda spot: spot[0]):
            if one.dollars is None:
                continue
            low, high = axes.y(one.dollars.min), axes.y(one.dollars.max)
            parts.append(line(x, low, x, high, f"reach thin {kind}"))
            tip = f"{one.pool}: {told(one.seconds, 's')}, {told(one.dollars, '$')}"
            parts.append(dot(x, y, kind, tip))
            spot = (x, y + (18 if kind == "fast" else -10))
            if all(abs(spot[0] - u) > 34 or abs(spot[1] - v) > 15 for u, v in labels):
                parts.append(text(*spot, f"{one.pool.count:,}", "value"))
                labels.append(spot)
    said = "; ".join(
        f"{one.pool} {told(one.seconds, 's')} {told(one.dollars, '$')}"
        for one in every
        if one.dollars
    )
    return drawing(300, parts, f"Cost against time: {said}")

"""Rows of dots with intervals: held-out by tier, thaws beside their controls. Data in, SVG out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from toprope.drawing.svg import WIDTH, Frame, ceiling, dot, drawing, line, text, ticks
from toprope.report.numbers import interval, of, percent

POINTS = (("before", "before"), ("after_seeding", "after seeding"), ("after", "after RL"))
TIERS = ("near", "mid", "far", "all")
STEP, HEAD, GAP = 20.0, 8.0, 16.0


class Mark(NamedTuple):
    """A measured share with its interval, and what hovering tells."""

    kind: str
    label: str
    rate: float
    low: float
    high: float
    tip: str


class Row(NamedTuple):
    """A labelled row of marks, one under the other; `baseline` is a tick across them."""

    label: str
    marks: Sequence[Mark]
    baseline: float | None = None


def heldout(section: Mapping[str, Any]) -> str:
    """The held-out pass rate of each tier at each point, with the mutator's as a tick."""
    rows = [Row(tier, _tier_marks(section, tier), section["mutator"][tier]) for tier in TIERS]
    return interval_rows([row for row in rows if row.marks], "Held-out pass rate by tier")


def thaws(section: Mapping[str, Any]) -> str:
    """The share that thawed: all cold tasks, those never seeded, and the frozen base."""
    counted = {"thawed": section["count"], "of": section["of_cold"], "ci95": section["ci95"]}
    shares = [
        ("after", "all cold tasks", counted if section["of_cold"] else None),
        ("after_seeding", "never seeded", section["unseeded_control"]),
        ("before", "frozen base", section["frozen_base"]),
    ]
    rows = [Row(label, [_share_mark(kind, share)]) for kind, label, share in shares if share]
    return interval_rows(rows, "Share of cold tasks that thawed", label_width=134)


def interval_rows(rows: Sequence[Row], label: str, label_width: float = 46) -> str:
    """Draw rows over a common axis of rates from 0."""
    highest = max((mark.high for row in rows for mark in row.marks), default=0.1)
    heights = [len(row.marks) * STEP + GAP for row in rows]
    height = HEAD + sum(heights) + 26
    frame = Frame(height, (0.0, ceiling(highest)), (0.0, 1.0), left=label_width + 14, bottom=26)
    parts = [_grid(frame, tick) for tick in ticks(0, frame.x[1], 5)]
    top, spoken = HEAD, []
    for row, tall in zip(rows, heights, strict=True):
        middle = top + tall / 2 - GAP / 4
        parts.append(text(0, middle + 4, row.label, "rowlabel", "start"))
        if row.baseline is not None:
            x = frame.px(row.baseline)
            parts.append(line(x, top, x, top + tall - GAP / 2, "mutator"))
        for i, mark in enumerate(row.marks):
            y = top + (i + 0.5) * STEP
            parts.append(line(frame.px(mark.low), y, frame.px(mark.high), y, f"span {mark.kind}"))
            parts.append(dot(frame.px(mark.rate), y, mark.kind, mark.tip, 5))
            spoken.append(f"{row.label} {mark.label} {percent(mark.rate)}")
        top += tall
    return drawing(height, parts, f"{label}: {'; '.join(spoken)}.")


def _grid(frame: Frame, tick: float) -> str:
    x, ground = frame.px(tick), frame.height - frame.bottom
    anchor = "end" if x > WIDTH - 30 else "middle"
    words = text(x, ground + 18, f"{tick * 100:.3g} %", anchor=anchor)
    return line(x, frame.top / 2, x, ground, "grid") + words


def _share_mark(kind: str, share: Mapping[str, Any]) -> Mark:
    part, whole = share["thawed"], share["of"]
    low, high = share["ci95"]
    told = f"{of(part, whole)}, 95 % interval {interval((low, high))}"
    return Mark(kind, "", part / whole, low, high, told)


def _tier_marks(section: Mapping[str, Any], tier: str) -> list[Mark]:
    marks = []
    for key, words in POINTS:
        point = section[key][tier] if section[key] else None
        if point is None:
            continue
        low, high = point["ci95"]
        told = f"{tier}, {words}: {percent(point['pass@1'])} ({interval(point['ci95'])})"
        marks.append(Mark(key, words, point["pass@1"], low, high, told))
    return marks

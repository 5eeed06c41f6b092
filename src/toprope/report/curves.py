"""Charts over iterations: pass rates, task states, teacher share. Data in, SVG out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from toprope.drawing.svg import (
    Frame,
    axes,
    box,
    ceiling,
    dot,
    drawing,
    line,
    path,
    text,
    ticks,
    whole_ticks,
)
from toprope.report.numbers import interval, percent
from toprope.report.series import Point
from toprope.report.words import QUIET_WORDS
from toprope.terms import State

STACK = (State.MASTERED, State.LIVE, State.COLD, State.PARKED, State.BROKEN, State.UNSEEN)


def rates(
    training: Sequence[Point], dev: Sequence[Point], span: tuple[int, int], teacher_last: int | None
) -> str:
    """Training and dev pass rate, with a line where the teacher was last used."""
    highest = max([*(p.rate for p in training), *(p.high or p.rate for p in dev)], default=0)
    frame = Frame(260, x=span, y=(0.0, ceiling(highest)))
    parts = axes(frame, whole_ticks(*span), ticks(0, frame.y[1], 5), percent=True)
    if teacher_last is not None and span[1] > span[0]:
        x = frame.px(teacher_last)
        parts.append(line(x, frame.top, x, frame.height - frame.bottom, "event"))
        parts.append(text(x + 5, frame.top + 24, "teacher last used", "note", "start"))
    parts.append(path([(frame.px(p.iteration), frame.py(p.rate)) for p in training], "line train"))
    for p in training:
        told = f"iteration {p.iteration}: training {percent(p.rate)} of {p.draws} draws"
        parts.append(dot(frame.px(p.iteration), frame.py(p.rate), "train", told, 2.5))
    parts.append(path([(frame.px(p.iteration), frame.py(p.rate)) for p in dev], "line dev"))
    parts += [_whiskered(frame, p) for p in dev]
    return drawing(frame.height, parts, _rates_label(training, dev))


def states(counts: Mapping[State, Sequence[int]], iterations: Sequence[int]) -> str:
    """How many training tasks stand in each state, stacked."""
    total = sum(column[0] for column in counts.values() if column)
    span = (iterations[0], iterations[-1])
    frame = Frame(260, x=span, y=(0.0, float(total)))
    parts = []
    base = [0] * len(iterations)
    for state in STACK:
        top = [b + n for b, n in zip(base, counts[state], strict=True)]
        if top != base:
            upper = _steps(frame, iterations, top)
            lower = _steps(frame, iterations, base)
            parts.append(path([*upper, *reversed(lower)], f"area s-{state}", closed=True))
        base = top
    parts += axes(frame, whole_ticks(*span), ticks(0, total))
    parts += _columns(frame, counts, iterations)
    last = ", ".join(f"{counts[s][-1]} {s}" for s in STACK if counts[s][-1])
    return drawing(frame.height, parts, f"Task states over iterations; at the end {last}.")


def teacher_share(windows: Sequence[Mapping[str, Any]]) -> str:
    """The teacher's share of the tokens learned from, one bar per window."""
    frame = Frame(200, x=(0.0, float(len(windows))), y=(0.0, 1.0))
    parts = axes(frame, [], ticks(0, 1, 5), percent=True)
    every = -(-len(windows) // 6)
    for i, window in enumerate(windows):
        share, x, width = window["share"], frame.px(i), frame.px(i + 1) - frame.px(i)
        why = QUIET_WORDS.get(window["reason"], "no reason recorded")
        told = f"iterations {window['first']}–{window['last']}: {percent(share)}"
        told += "" if share else f" ({why})"
        top, ground = frame.py(share), frame.py(0)
        kind = "bar teacher" if share else "bar quiet"
        height = ground - top if share else 4
        parts.append(box(x + 1.5, ground - max(height, 2), width - 3, max(height, 2), kind, told))
        if i % every == 0:
            parts.append(text(x + width / 2, ground + 18, f"{window['first']}–{window['last']}"))
    quiet = sum(not window["share"] for window in windows)
    return drawing(
        frame.height, parts, f"Teacher share per window; {quiet} of {len(windows)} windows are 0."
    )


def _steps(
    frame: Frame, iterations: Sequence[int], values: Sequence[int]
) -> list[tuple[float, float]]:
    return [(frame.px(i), frame.py(v)) for i, v in zip(iterations, values, strict=True)]


def _columns(
    frame: Frame, counts: Mapping[State, Sequence[int]], iterations: Sequence[int]
) -> list[str]:
    """Invisible columns that tell the counts of an iteration on hover."""
    width = (frame.px(frame.x[1]) - frame.px(frame.x[0])) / max(len(iterations) - 1, 1)
    columns = []
    for at, iteration in enumerate(iterations):
        told = ", ".join(f"{counts[s][at]} {s}" for s in STACK if counts[s][at])
        x, height = frame.px(iteration) - width / 2, frame.height - frame.bottom - frame.top
        columns.append(box(x, frame.top, width, height, "hit", f"iteration {iteration}: {told}"))
    return columns


def _whiskered(frame: Frame, p: Point) -> str:
    x, bounds = frame.px(p.iteration), (p.low, p.high)
    whisker, told = "", f"iteration {p.iteration}: dev {percent(p.rate)}"
    if p.low is not None and p.high is not None:
        whisker = line(x, frame.py(p.low), x, frame.py(p.high), "whisker dev")
        told += f" ({interval([b for b in bounds if b is not None])})"
    return whisker + dot(x, frame.py(p.rate), "dev", told)


def _rates_label(training: Sequence[Point], dev: Sequence[Point]) -> str:
    told = [
        f"{name} pass rate from {percent(found[0].rate)} to {percent(found[-1].rate)}"
        for name, found in (("training", training), ("dev", dev))
        if found
    ]
    return "; ".join(told) or "No pass rate was measured over iterations."

"""Says what a comparison shows, as lines of a table and sentences; invents no certainty."""

from __future__ import annotations

from toprope.climb.arms.compare import ENOUGH, Comparison, Difference, Row
from toprope.climb.arms.entry import Entry

HEADER = ("arm", "runs", "pass@1", "seeded", "alive", "teacher tokens", "FLOPs")
LEGEND = (
    "pass@1: on the held-out tasks that the base never passed; seeded: the same after the last "
    "seed; alive: cold training tasks that came to life; teacher tokens: all asked for, and "
    f"those spent when dev reached {ENOUGH:.0%} of the rival's last; FLOPs: student and teacher, "
    "without evaluation. Means over runs."
)


def table(comparison: Comparison) -> list[tuple[str, ...]]:
    """Return the arms as rows under `HEADER`; what was not measured is a dash."""
    return [_cells(row) for row in comparison.rows]


def sentences(comparison: Comparison, entry: Entry) -> list[str]:
    """Return what the differences carry, and what they do not."""
    said = [_difference(d, entry) for d in comparison.differences]
    rival = next((d for d in comparison.differences if d.arm == entry.against), None)
    if rival is not None:
        said.append(_verdict(rival, entry))
    alone = _alone(comparison)
    if alone:
        said.append(alone)
    return said


def _cells(row: Row) -> tuple[str, ...]:
    needed = "-" if row.tokens_to_enough is None else f"{row.tokens_to_enough:,.0f}"
    return (
        row.arm,
        str(row.seeds),
        _percent(row.score),
        _percent(row.seeded),
        f"{row.alive:.1f} of {row.tested_cold:.1f}",
        f"{row.teacher_tokens:,.0f} ({needed})",
        f"{row.student_flops:.1e} + {row.teacher_flops:.1e}",
    )


def _difference(d: Difference, entry: Entry) -> str:
    e = d.estimate
    runs = f"{len(d.each)} {'seed' if len(d.each) == 1 else 'seeds'}"
    text = (
        f"{entry.ours} - {d.arm}: {100 * e.mean:+.1f} points "
        f"({100 * e.low:+.1f} to {100 * e.high:+.1f}; {runs}, {e.clusters} functions)"
    )
    if d.p_value is not None:
        text += f", p = {d.p_value:.3f}, {d.p_adjusted:.3f} after Holm"
    return text


def _verdict(d: Difference, entry: Entry) -> str:
    """What may be said against the arm to beat, by the interval over seeds and functions."""
    low, margin = d.estimate.low, entry.margin
    inferior = "" if d.p_inferior is None else f" (permutation test: p = {d.p_inferior:.3f})"
    if len(d.each) == 1:
        return "One seed says nothing about others: no verdict."
    if low > 0:
        return f"{entry.ours} is better than {d.arm}: 0 lies below the interval{inferior}."
    if low > -margin:
        return f"{entry.ours} is not inferior to {d.arm} by the margin of {margin:g}{inferior}."
    if d.estimate.high < 0:
        return f"{entry.ours} is WORSE than {d.arm}{inferior}."
    return (
        f"Not shown that {entry.ours} keeps within {margin:g} of {d.arm}{inferior}: "
        "more seeds or more held-out tasks would narrow the interval."
    )


def _alone(comparison: Comparison) -> str:
    counts: dict[str, list[int]] = {}
    for others in comparison.only_ours.values():
        for arm, tasks in others.items():
            counts.setdefault(arm, []).append(len(tasks))
    told = ", ".join(f"{sum(n) / len(n):.1f} not in {arm}" for arm, n in counts.items())
    return f"Cold tasks that came to life in ours, a seed: {told}." if told else ""


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"

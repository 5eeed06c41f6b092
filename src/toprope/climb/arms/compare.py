"""What the arms' numbers carry: differences to ours, paired by seed, with their intervals.

With few seeds there are intervals and no p-values; whoever asks for p-values gets exact
paired permutation tests, corrected for their number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from toprope.climb.arms.result import Rates, Result
from toprope.ledger.paired import holm, seeds_and_clusters, sign_flip
from toprope.ledger.statistics import Estimate

ENOUGH = 0.9  # of what the arm to beat reaches on dev: where teacher tokens are compared


@dataclass(frozen=True)
class Row:
    """One arm over its seeds. Means over seeds; None where nothing was measured."""

    arm: str
    seeds: int
    score: float | None
    seeded: float | None
    alive: float
    tested_cold: float
    teacher_tokens: float
    tokens_to_enough: float | None
    student_flops: float
    teacher_flops: float


@dataclass(frozen=True)
class Difference:
    """Ours minus another arm, in pass rate on the cold held-out tasks."""

    arm: str
    seeds: tuple[int, ...]
    each: tuple[float, ...]
    estimate: Estimate
    p_value: float | None = None
    p_adjusted: float | None = None
    p_inferior: float | None = None  # of ours lying below the arm to beat by the margin


@dataclass(frozen=True)
class Comparison:
    """All of it. `only_ours` are tasks that came to life in ours and in none of the others."""

    rows: tuple[Row, ...]
    differences: tuple[Difference, ...]
    only_ours: dict[int, dict[str, list[str]]]


def compare(
    results: Mapping[str, Mapping[int, Result]],
    *,
    ours: str,
    against: str,
    margin: float,
    p_values: bool,
) -> Comparison:
    """Return what `results` (by arm, then seed) show; seeds that one arm lacks are left out there.

    `margin` is the non-inferiority margin to `against`, fixed before running.
    """
    mine = results.get(ours, {})
    rows = tuple(_row(arm, runs, results.get(against, {})) for arm, runs in results.items() if runs)
    differences = []
    for arm, runs in results.items():
        shared = tuple(seed for seed in mine if seed in runs) if arm != ours else ()
        if shared:
            differences.append(_difference(arm, shared, mine, runs))
    if p_values:
        differences = _tested(differences, against, margin)
    return Comparison(rows, tuple(differences), _only(results, ours))


def _row(arm: str, runs: Mapping[int, Result], rivals: Mapping[int, Result]) -> Row:
    every = list(runs.values())
    needed = [
        result.tokens_to(ENOUGH * rivals[seed].points[-1].rate)
        for seed, result in runs.items()
        if seed in rivals and rivals[seed].points
    ]
    reached = [tokens for tokens in needed if tokens is not None]
    return Row(
        arm=arm,
        seeds=len(every),
        score=_mean([r.score for r in every]),
        seeded=_mean([_mean_rate(r.seeded) for r in every]),
        alive=fmean(len(r.alive) for r in every),
        tested_cold=fmean(r.tested_cold for r in every),
        teacher_tokens=fmean(r.teacher_tokens for r in every),
        tokens_to_enough=fmean(reached) if needed and len(reached) == len(needed) else None,
        student_flops=fmean(r.student_flops for r in every),
        teacher_flops=fmean(r.teacher_flops for r in every),
    )


def _difference(
    arm: str, seeds: tuple[int, ...], mine: Mapping[int, Result], theirs: Mapping[int, Result]
) -> Difference:
    by_seed = [_differences(mine[seed].cold, theirs[seed].cold) for seed in seeds]
    each = tuple(fmean([d for values in one.values() for d in values]) for one in by_seed if one)
    return Difference(arm, seeds, each, seeds_and_clusters([one for one in by_seed if one]))


def _differences(mine: Rates, theirs: Rates) -> dict[str, list[float]]:
    """Task by task, ours minus theirs, under their source function; only tasks of both."""
    found: dict[str, list[float]] = {}
    for function, rates in mine.items():
        other = theirs.get(function, {})
        paired = [rate - other[task] for task, rate in rates.items() if task in other]
        if paired:
            found[function] = paired
    return found


def _tested(differences: Sequence[Difference], against: str, margin: float) -> list[Difference]:
    p_values = {d.arm: sign_flip(d.each) for d in differences}
    adjusted = holm(p_values)
    return [
        Difference(
            d.arm,
            d.seeds,
            d.each,
            d.estimate,
            p_values[d.arm],
            adjusted[d.arm],
            sign_flip(d.each, above=-margin) if d.arm == against else None,
        )
        for d in differences
    ]


def _only(
    results: Mapping[str, Mapping[int, Result]], ours: str
) -> dict[int, dict[str, list[str]]]:
    """By seed and other arm, the cold tasks alive in ours and not there."""
    found: dict[int, dict[str, list[str]]] = {}
    for seed, mine in results.get(ours, {}).items():
        others = {a: runs[seed] for a, runs in results.items() if a != ours and seed in runs}
        found[seed] = {arm: sorted(mine.alive - other.alive) for arm, other in others.items()}
    return found


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def _mean_rate(rates: Rates) -> float | None:
    values = [rate for tasks in rates.values() for rate in tasks.values()]
    return fmean(values) if values else None

"""Pass rates on a frozen split: by tier, with cluster intervals, gains and the mutator.

Reads through an open connection and returns plain values for `summary.json`. What was
not measured is None, never 0. Source functions are the clusters.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from toprope.ledger.queries import VERIFIED
from toprope.ledger.rows import STUDENT, TaskRow
from toprope.ledger.statistics import (
    Estimate,
    cluster_bootstrap,
    paired_cluster_bootstrap,
    pass_at_k,
)
from toprope.terms import Tier

TIERS = (*(tier.value for tier in Tier), "all")


class Tally(NamedTuple):
    """Of one task at one point: plain draws, verified successes, and draws lost to us."""

    draws: int
    successes: int
    infra: int

    @property
    def rate(self) -> float:
        """The share of draws that passed."""
        return self.successes / self.draws


def tallies(
    db: sqlite3.Connection, purpose: str, *, policy: str = STUDENT, mode: str = "plain"
) -> dict[str, Tally]:
    """Per task, what was drawn for one purpose (for a dev point, see `rows.dev_purpose`)."""
    rows = db.execute(
        "SELECT task_id, sum(outcome != 'infra'), "
        f"sum(outcome != 'infra' AND {VERIFIED}), sum(outcome = 'infra') "
        "FROM evidence WHERE purpose = ? AND policy = ? AND mode = ? GROUP BY task_id",
        [purpose, policy, mode],
    )
    return {task_id: Tally(*counts) for task_id, *counts in rows}


def common_k(points: Sequence[Mapping[str, Tally]]) -> int | None:
    """The k at which every point can be compared: the fewest of their usual draw counts."""
    usual = [
        Counter(tally.draws + tally.infra for tally in point.values()).most_common(1)[0][0]
        for point in points
        if point
    ]
    return min(usual) if usual else None


def mean_rate(point: Mapping[str, Tally], tasks: Sequence[TaskRow]) -> Estimate | None:
    """The mean pass rate over the tasks that were drawn, with its cluster interval."""
    rates = {t.task_id: point[t.task_id].rate for t in tasks if _drawn(point, t)}
    return _over_clusters(rates, tasks)


def by_tier(
    point: Mapping[str, Tally], tasks: Sequence[TaskRow], k: int | None
) -> dict[str, Any] | None:
    """One point of `heldout`: every tier with its numbers, or None if nothing was drawn."""
    if not point:
        return None
    return {tier: _tier_point(point, _of_tier(tasks, tier), k) for tier in TIERS}


def gains(
    before: Mapping[str, Tally], after: Mapping[str, Tally], tasks: Sequence[TaskRow]
) -> dict[str, Any] | None:
    """By tier, the paired mean difference of task pass rates and its interval."""
    if not before or not after:
        return None
    return {tier: _gain(before, after, _of_tier(tasks, tier)) for tier in TIERS}


def mutator(tasks: Sequence[TaskRow]) -> dict[str, float | None]:
    """By tier, the mean chance of the no-model baseline over the tasks given."""
    found: dict[str, float | None] = {}
    for tier in TIERS:
        chances = [t.mutator_p for t in _of_tier(tasks, tier) if t.mutator_p is not None]
        found[tier] = sum(chances) / len(chances) if chances else None
    return found


def _tier_point(
    point: Mapping[str, Tally], tasks: Sequence[TaskRow], k: int | None
) -> dict[str, Any] | None:
    estimate = mean_rate(point, tasks)
    if estimate is None:
        return None
    drawn = [point[t.task_id] for t in tasks if _drawn(point, t)]
    asked = [point[t.task_id] for t in tasks if t.task_id in point]
    at_k = [pass_at_k(t.draws, t.successes, k) for t in drawn if k and t.draws >= k]
    return {
        "pass@1": estimate.mean,
        "ci95": [estimate.low, estimate.high],
        "pass@k": sum(at_k) / len(at_k) if at_k else None,
        "k": k if at_k else None,
        "samples": sum(t.draws for t in drawn),
        "tasks": estimate.values,
        "clusters": estimate.clusters,
        "pass@1_infra_failed": sum(t.successes / (t.draws + t.infra) for t in asked) / len(asked),
    }


def _gain(
    before: Mapping[str, Tally], after: Mapping[str, Tally], tasks: Sequence[TaskRow]
) -> dict[str, Any] | None:
    both = [t for t in tasks if _drawn(before, t) and _drawn(after, t)]
    if not both:
        return None
    estimate = paired_cluster_bootstrap(
        {t.task_id: before[t.task_id].rate for t in both},
        {t.task_id: after[t.task_id].rate for t in both},
        {t.task_id: t.cluster for t in both},
    )
    return {
        "gain": estimate.mean,
        "ci95": [estimate.low, estimate.high],
        "tasks": estimate.values,
        "clusters": estimate.clusters,
    }


def _over_clusters(values: Mapping[str, float], tasks: Sequence[TaskRow]) -> Estimate | None:
    clusters: dict[str, list[float]] = {}
    for task in tasks:
        if task.task_id in values:
            clusters.setdefault(task.cluster, []).append(values[task.task_id])
    return cluster_bootstrap(clusters) if clusters else None


def share_of(task_ids: set[str], tasks: Sequence[TaskRow]) -> Estimate | None:
    """The share of `tasks` that are in `task_ids`, with its cluster interval."""
    return _over_clusters({t.task_id: float(t.task_id in task_ids) for t in tasks}, tasks)


def _of_tier(tasks: Sequence[TaskRow], tier: str) -> list[TaskRow]:
    return [task for task in tasks if tier in ("all", task.tier)]


def _drawn(point: Mapping[str, Tally], task: TaskRow) -> bool:
    return task.task_id in point and point[task.task_id].draws > 0

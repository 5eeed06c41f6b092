"""Pure statistics of pass rates: exact bounds, pass@k, cluster bootstraps.

Plain numbers in, plain numbers out. It must not know what a task, a ledger or a file is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import comb, exp, lgamma, log, log1p
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Estimate(NamedTuple):
    """A mean over `values` task values of `clusters` clusters, with a two-sided interval."""

    mean: float
    low: float
    high: float
    values: int
    clusters: int


def _check_counts(successes: int, n: int) -> None:
    if n < 1 or not 0 <= successes <= n:
        raise ValueError(f"need 0 <= successes <= n and n >= 1, got {successes} of {n}")


def binomial_cdf(successes: int, n: int, p: float) -> float:
    """P(X <= successes) for X ~ Binomial(n, p), summed in log space."""
    _check_counts(successes, n)
    if p <= 0.0 or successes == n:
        return 1.0
    if p >= 1.0:
        return 0.0
    log_p, log_q, log_n = log(p), log1p(-p), lgamma(n + 1)
    terms = (
        exp(log_n - lgamma(i + 1) - lgamma(n - i + 1) + i * log_p + (n - i) * log_q)
        for i in range(successes + 1)
    )
    return min(1.0, sum(terms))


def clopper_pearson_upper(successes: int, n: int, alpha: float = 0.05) -> float:
    """One-sided exact upper bound of a pass rate at confidence 1 - alpha.

    The p at which P(X <= successes) = alpha (Clopper and Pearson 1934, Biometrika 26:404),
    found by bisection. Raises ValueError for counts that cannot be.
    """
    _check_counts(successes, n)
    if successes == n:
        return 1.0
    low, high = successes / n, 1.0
    while high - low > 1e-12:
        middle = (low + high) / 2
        low, high = (middle, high) if binomial_cdf(successes, n, middle) > alpha else (low, middle)
    return high


def clopper_pearson_lower(successes: int, n: int, alpha: float = 0.05) -> float:
    """One-sided exact lower bound of a pass rate, by symmetry with the upper bound."""
    return 1.0 - clopper_pearson_upper(n - successes, n, alpha)


def zero_success_power(p: float, n: int) -> float:
    """The chance that a task with true pass rate p shows no success in n draws: (1 - p)^n."""
    if not 0.0 <= p <= 1.0 or n < 0:
        raise ValueError(f"need 0 <= p <= 1 and n >= 0, got p = {p}, n = {n}")
    return float((1.0 - p) ** n)


def pass_at_k(n: int, c: int, k: int) -> float:
    """Unbiased chance that at least one of k draws passes: 1 - C(n-c, k) / C(n, k).

    n draws were made and c passed (Chen et al. 2021, arXiv:2107.03374, eq. 1).
    Raises ValueError for k > n: more draws cannot be claimed than were made.
    """
    _check_counts(c, n)
    if not 1 <= k <= n:
        raise ValueError(f"pass@{k} cannot be estimated from {n} draws")
    return 1.0 - comb(n - c, k) / comb(n, k)


def cluster_bootstrap(
    values_by_cluster: Mapping[str, Sequence[float]],
    draws: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Estimate:
    """Mean of task values in [0, 1] with a percentile interval, clusters resampled whole.

    Two bugs in one function are not two samples (Field and Welsh 2007, JRSS-B 69:369).
    Where every value is 0, or every value is 1, resampling would claim certainty; the
    exact Clopper-Pearson bound with the clusters as the sample stands in. One cluster
    says nothing about others: its interval is [0, 1]. Raises ValueError without values.
    """
    clusters = [list(values) for values in values_by_cluster.values() if len(values)]
    flat = [value for values in clusters for value in values]
    if not flat:
        raise ValueError("no values to estimate a mean from")
    mean, n = float(np.mean(flat)), len(clusters)
    edge = clopper_pearson_upper(0, n, (1 - level) / 2)
    if n == 1:
        low, high = 0.0, 1.0
    elif min(flat) == max(flat) == 0.0:
        low, high = 0.0, edge
    elif min(flat) == max(flat) == 1.0:
        low, high = 1.0 - edge, 1.0
    else:
        low, high = _percentile_interval(clusters, draws, seed, level)
    return Estimate(mean, low, high, len(flat), n)


def paired_cluster_bootstrap(
    before: Mapping[str, float],
    after: Mapping[str, float],
    clusters: Mapping[str, str],
    draws: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Estimate:
    """Mean difference (after - before) of task pass rates, tasks paired, clusters whole.

    Only tasks measured at both points enter. Where no task changed at all, the interval
    is plus or minus the exact bound on the share of clusters that could have changed.
    Raises ValueError if no task was measured twice.
    """
    shared = [task for task in before if task in after]
    if not shared:
        raise ValueError("no task was measured at both points")
    grouped: dict[str, list[float]] = {}
    for task in shared:
        grouped.setdefault(clusters[task], []).append(after[task] - before[task])
    flat = [value for values in grouped.values() for value in values]
    if len(grouped) == 1:
        low, high = -1.0, 1.0
    elif not any(flat):
        high = clopper_pearson_upper(0, len(grouped), (1 - level) / 2)
        low = -high
    else:
        low, high = _percentile_interval(list(grouped.values()), draws, seed, level)
    return Estimate(float(np.mean(flat)), low, high, len(flat), len(grouped))


def _percentile_interval(
    clusters: Sequence[Sequence[float]], draws: int, seed: int, level: float
) -> tuple[float, float]:
    sums = np.array([sum(values) for values in clusters], dtype=np.float64)
    sizes = np.array([len(values) for values in clusters], dtype=np.float64)
    rng = np.random.default_rng(seed)
    picked: NDArray[np.int64] = rng.integers(0, len(clusters), size=(draws, len(clusters)))
    means = sums[picked].sum(axis=1) / sizes[picked].sum(axis=1)
    tail = (1 - level) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)

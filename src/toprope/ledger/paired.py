"""Comparing two ways of training over several seeds: tests, intervals, corrections. Pure.

Differences are of pass rates, one a seed, or one a seed and source function. It must not
know what was compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from toprope.ledger.statistics import Estimate

MOST_EXACT = 16  # seeds up to which every assignment of signs is counted: 65,536
_DRAWS = 20_000


def sign_flip(differences: Sequence[float], *, above: float | None = None) -> float:
    """The p-value of a paired permutation test on the mean difference.

    Under the null hypothesis each difference is as likely with the other sign (Fisher 1935,
    The Design of Experiments, section 21). Two-sided against 0; with `above` one-sided
    against a mean of at most `above` (a non-inferiority margin m is `above=-m`). Exact for
    up to `MOST_EXACT` seeds, else from 20,000 seeded draws, the observed one counted.
    Raises ValueError without differences.
    """
    if not differences:
        raise ValueError("no differences to test")
    shifted = np.asarray(differences, dtype=np.float64) - (above or 0.0)
    n, observed = len(shifted), shifted.sum()
    if n <= MOST_EXACT:
        bits = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
        extra = 0
    else:
        bits = np.random.default_rng(0).integers(0, 2, size=(_DRAWS, n))
        extra = 1
    sums = (1 - 2 * bits) @ shifted
    slack = 1e-12 * max(1.0, float(np.abs(shifted).sum()))
    if above is None:
        hits = int((np.abs(sums) >= abs(observed) - slack).sum())
    else:
        hits = int((sums >= observed - slack).sum())
    return (hits + extra) / (len(sums) + extra)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """P-values adjusted for their number (Holm 1979, Scandinavian Journal of Statistics 6:65)."""
    adjusted: dict[str, float] = {}
    worst = 0.0
    for rank, name in enumerate(sorted(p_values, key=lambda key: p_values[key])):
        worst = max(worst, min(1.0, (len(p_values) - rank) * p_values[name]))
        adjusted[name] = worst
    return adjusted


def seeds_and_clusters(
    differences: Sequence[Mapping[str, Sequence[float]]],
    draws: int = 4000,
    seed: int = 0,
    level: float = 0.95,
) -> Estimate:
    """Mean task difference with an interval over seeds and source functions, both resampled.

    `differences[s][function]` are the task differences of one seed. Seeds and functions are
    drawn with replacement independently of each other, because the same functions are met by
    every seed (the pigeonhole bootstrap; Owen 2007, Annals of Applied Statistics 1:386): the
    interval is for other seeds and other functions. One seed, or one function, says nothing
    about others: [-1, 1]. Raises ValueError without differences.
    """
    functions = sorted({name for one in differences for name in one})
    if not functions:
        raise ValueError("no differences to estimate a mean from")
    sums, sizes = np.zeros((2, len(differences), len(functions)))
    for s, one in enumerate(differences):
        for name, values in one.items():
            at = functions.index(name)
            sums[s, at], sizes[s, at] = sum(values), len(values)
    mean = float(sums.sum() / sizes.sum())
    low, high = -1.0, 1.0
    if min(sums.shape) > 1:
        low, high = _resampled(sums, sizes, draws, seed, (1 - level) / 2)
    return Estimate(mean, low, high, int(sizes.sum()), len(functions))


def _resampled(
    sums: np.ndarray, sizes: np.ndarray, draws: int, seed: int, tail: float
) -> tuple[float, float]:
    rng = np.random.default_rng(seed)
    n_seeds, n_functions = sums.shape
    rows = rng.multinomial(n_seeds, np.full(n_seeds, 1 / n_seeds), size=draws)
    columns = rng.multinomial(n_functions, np.full(n_functions, 1 / n_functions), size=draws)
    totals = np.einsum("ds,sf,df->d", rows, sums, columns, optimize=True)
    counts = np.einsum("ds,sf,df->d", rows, sizes, columns, optimize=True)
    means = totals[counts > 0] / counts[counts > 0]
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)

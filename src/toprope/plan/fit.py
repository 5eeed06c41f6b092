"""Whether a model fits: for training and for sampling, on one domain of chips and on a pool.

The answer is a margin, never a bare yes. It must not know how fast anything runs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil

from toprope.plan.machine import USABLE, machine
from toprope.plan.memory import (
    RESERVE,
    activations,
    cache,
    serving_chips,
    states,
    training_chips,
    weights,
)
from toprope.plan.pool import CORNERS, Corner, Pool
from toprope.plan.ranges import Range
from toprope.plan.serving import cuts, room
from toprope.plan.workload import Workload

# States are counted exactly; what frameworks keep beside them is up to a sixth more.
_BESIDE = Range(1.0, 1.04, 1.15)


@dataclass(frozen=True, slots=True)
class Held:
    """Something that memory holds: bytes over all chips."""

    what: str
    size: Range


@dataclass(frozen=True, slots=True)
class Fit:
    """One use on so many chips: what it holds, what they have, and the fewest that would do.

    `verdict` is "fits", "tight" (only if figures are as usual) or "does not fit";
    `spare` is usable bytes left per chip, below 0 what is missing; `sequences` how many of the
    workload's mean length are held at once, for sampling.
    """

    use: str
    where: str
    chips: int
    held: tuple[Held, ...]
    usable: Range
    spare: Range
    needed: Range
    verdict: str
    sequences: Range | None = None


def fit(work: Workload, pool: Pool) -> list[Fit]:
    """Return the fits of training and of sampling, on one domain and on the whole pool."""
    domain = pool.chip.link.domain if pool.chip.link else 1
    sizes = {f"one domain of {domain}": domain, f"the pool of {pool.count:,}": pool.count}
    if pool.count == domain:
        del sizes[f"one domain of {domain}"]
    found = []
    for where, chips in sizes.items():
        if work.kind != "serve":
            found.append(_training(work, pool, chips, where))
        if work.kind in ("rl", "distill", "serve"):
            found.append(_sampling(work, pool, chips, where))
    return found


def _training(work: Workload, pool: Pool, chips: int, where: str) -> Fit:
    shape = work.shape
    length = min(work.context, work.length or work.context)
    wide = weights(shape, "fp32" if work.train_precision == "fp32" else "bf16")
    held = (
        Held("weights", Range.of(wide)),
        Held("gradients and optimiser", Range.of(states(work) - wide)),
        Held(f"activations of one sequence of {length:,.0f}", _kept(activations(shape, length))),
    )
    needed = [training_chips(work, _usable(pool, corner)) for corner in CORNERS]
    return _fit("training", where, chips, held, pool, needed)


def _sampling(work: Workload, pool: Pool, chips: int, where: str) -> Fit:
    shape, precision = work.shape, work.precision
    held = (
        Held(f"weights in {precision.upper()}", Range.of(weights(shape, precision))),
        Held(
            f"cache of one sequence of {work.length:,.0f}",
            _kept(cache(shape, work.length, precision)),
        ),
    )
    needed = [
        serving_chips(shape, work.length, precision, _usable(pool, corner)) for corner in CORNERS
    ]
    found = _fit("sampling", where, chips, held, pool, needed)
    at_once = [_sequences(work, pool, corner, chips) for corner in CORNERS]
    return replace(found, sequences=Range(at_once[2], at_once[1], at_once[0]))


def _sequences(work: Workload, pool: Pool, corner: Corner, chips: int) -> float:
    here = machine(pool.chip, corner)
    best = 0.0
    for cut in cuts(here, chips, work.shape):
        held = room(work.shape, here, cut, work.length, work.precision)
        best = max(best, int(held) * (chips // cut.chips) if held >= 1 else 0)
    return best


def _fit(
    use: str, where: str, chips: int, held: tuple[Held, ...], pool: Pool, needed: list[int]
) -> Fit:
    total = Range.of(0.0)
    for one in held:
        total = total + one.size
    usable = pool.chip.memory.range * USABLE - RESERVE
    spare = usable - total * _BESIDE / chips
    low, usual, high = sorted(needed)
    wider = ceil(usual * _BESIDE.max)
    fewest = Range(low, usual, max(high, wider))
    verdict = "fits" if spare.min > 0 else "tight" if spare.typ > 0 else "does not fit"
    return Fit(use, where, chips, held, usable, spare, fewest, verdict)


def _usable(pool: Pool, corner: Corner) -> float:
    return machine(pool.chip, corner).usable()


def _kept(size: float) -> Range:
    return Range(size * 0.8, size, size * 1.3)

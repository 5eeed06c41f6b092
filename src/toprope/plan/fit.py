"""Whether a model fits: for training and for sampling, on one domain of chips and on a pool.

The answer is a margin, never a bare yes. It must not know how fast anything runs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil

from toprope.plan.instead import instead
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
from toprope.plan.serving import Cut, cuts, room
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
    `spare` is usable bytes left per chip, below 0 what is missing; `tokens` the length that is
    held, `how` a way to cut it over the chips; `sequences` how many of that length are held at
    once, for sampling.
    """

    use: str
    where: str
    chips: int
    tokens: float
    held: tuple[Held, ...]
    usable: Range
    spare: Range
    needed: Range
    verdict: str
    how: str = ""
    sequences: Range | None = None


@dataclass(frozen=True, slots=True)
class Fitted:
    """A workload's uses on a pool, and, where one does not fit, changes under which all do."""

    work: Workload
    pool: str
    uses: tuple[Fit, ...]
    instead: tuple[str, ...]


def fitted(work: Workload, pool: Pool) -> Fitted:
    """Return the fits of a workload on a pool, and what fits instead."""
    uses = tuple(fit(work, pool))
    short = any(one.verdict == "does not fit" for one in uses if one.chips == pool.count)
    ways = instead(replace(work, speed=0.0), pool.chip, pool.count) if short else ()
    return Fitted(work, str(pool), uses, tuple(ways))


def fit(work: Workload, pool: Pool) -> list[Fit]:
    """Return the fits of training and of sampling, on one domain of the pool and on all of it."""
    domain = pool.chip.link.domain if pool.chip.link else 1
    sizes = {f"one domain of {domain}": domain, f"the pool of {pool.count:,}": pool.count}
    if domain >= pool.count:
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
        Held("activations of one sequence", _kept(activations(shape, length))),
    )
    needed = [training_chips(work, _usable(pool, corner)) for corner in CORNERS]
    found = _fit("training", where, chips, held, pool, needed, length)
    return replace(found, how=_cut(needed[1], chips, pool, shape.layers))


def _cut(needed: int, chips: int, pool: Pool, layers: int) -> str:
    """One way to cut states and a sequence: tensor parts, then stages of layers, then copies."""
    if needed > chips:
        return ""
    near = min(8, pool.chip.link.domain if pool.chip.link else 1)
    tensor = min(near, 1 << (needed - 1).bit_length())
    stages = ceil(needed / tensor)
    copies = chips // (tensor * stages)
    if stages > layers or not copies:
        return "all sharded (ZeRO-3)"
    parts = f"{tensor} tensor parallel x {stages} pipeline stages x {copies} data parallel"
    return f"all sharded (ZeRO-3), or {parts}"


def _sampling(work: Workload, pool: Pool, chips: int, where: str) -> Fit:
    shape, precision = work.shape, work.precision
    held = (
        Held(f"weights in {precision.upper()}", Range.of(weights(shape, precision))),
        Held("cache of one sequence", _kept(cache(shape, work.length, precision))),
    )
    needed = [
        serving_chips(shape, work.length, precision, _usable(pool, corner)) for corner in CORNERS
    ]
    found = _fit("sampling", where, chips, held, pool, needed, work.length)
    at_once = [_sequences(work, pool, corner, chips) for corner in CORNERS]
    (most, _), (usual, cut), (least, _) = at_once
    how = f"{chips // cut.chips:,} x {cut.chips:,} chips" if cut else ""
    return replace(found, how=how, sequences=Range(least, usual, most))


def _sequences(work: Workload, pool: Pool, corner: Corner, chips: int) -> tuple[float, Cut | None]:
    """How many sequences the pool holds, and the replica that holds the most of them."""
    here = machine(pool.chip, corner)
    best: tuple[float, Cut | None] = (0.0, None)
    for cut in cuts(here, chips, work.shape):
        held = room(work.shape, here, cut, work.length, work.precision)
        at_once = float(int(held) * (chips // cut.chips)) if held >= 1 else 0.0
        best = max(best, (at_once, cut), key=lambda one: one[0])
    return best


def _fit(
    use: str,
    where: str,
    chips: int,
    held: tuple[Held, ...],
    pool: Pool,
    needed: list[int],
    tokens: float,
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
    return Fit(use, where, chips, tokens, held, usable, spare, fewest, verdict)


def _usable(pool: Pool, corner: Corner) -> float:
    return machine(pool.chip, corner).usable()


def _kept(size: float) -> Range:
    return Range(size * 0.8, size, size * 1.3)

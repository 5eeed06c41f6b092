"""The whole answer to how many of one chip do the work of another, and where that breaks.

Counts with both sides' time, energy and money, what no number makes up for, and what would
change the answer. It must not know how answers are shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import ceil, isinf

from toprope.plan.chips import Chip, Peak
from toprope.plan.counts import FAMILY_OF, Count, comparable, counted_as_asked, counts
from toprope.plan.estimate import CannotRun, Estimate, estimate
from toprope.plan.machine import BITS
from toprope.plan.money import on_one_basis
from toprope.plan.pool import Pool
from toprope.plan.ranges import Range
from toprope.plan.rates import FAMILIES, Carry, slower_than_predicted
from toprope.plan.workload import Workload

# A phase that takes less of the whole than this is not worth a word.
_FELT = 0.01


@dataclass(frozen=True, slots=True)
class Change:
    """A change of the question and the count that would then be the answer."""

    what: str
    count: Count


@dataclass(frozen=True, slots=True)
class Equal:
    """The answer of `equal`: counts, both sides' estimates, and what it rests on."""

    work: Workload  # at the precisions compared in
    fast: Pool
    slow: Chip
    whole: Count
    phases: tuple[Count, ...]
    fast_estimate: Estimate
    slow_estimate: Estimate | None
    by_flops: Range  # the pure-FLOP answer, a named mode
    rows: tuple[Carry, ...]
    unmeasured: tuple[str, ...]  # kinds of work that no chip of the slow one's maker is known at
    not_carried: tuple[str, ...]
    changes: tuple[Change, ...]


def flops_only(fast: Pool, slow: Chip, precision: str) -> Range:
    """Return how many slow chips have the fast pool's dense FLOP/s, and nothing else."""
    mine, theirs = fast.chip.peaks, slow.peaks
    return (
        mine[_key(mine, precision)].rate.range
        * fast.count
        / theirs[_key(theirs, precision)].rate.range
    )


def equal(fast: Pool, slow: Chip, wanted: Workload, per_kwh: Range) -> Equal:
    """Return how many `slow` chips do `wanted` in the time that the fast pool takes.

    Raises `CannotRun` if the fast pool cannot do it, `NoPrecision` if the chips share none.
    """
    work = comparable(fast.chip, slow, wanted)
    fast_estimate = estimate(work, fast, per_kwh, on_one_basis(fast.chip, slow, per_kwh)[0])
    found, rows = counts(fast, slow, work)
    whole = found.pop(0)
    slow_estimate = _estimated(work, slow, whole, fast, per_kwh)
    return Equal(
        work=work,
        fast=fast,
        slow=slow,
        whole=whole,
        phases=tuple(found),
        fast_estimate=fast_estimate,
        slow_estimate=slow_estimate,
        by_flops=flops_only(fast, slow, _main_precision(work)),
        rows=tuple(rows),
        unmeasured=tuple(_unmeasured(slow, found)),
        not_carried=tuple(_not_carried(fast, slow, wanted, work, [whole, *found])),
        changes=tuple(_changes(fast, slow, wanted, work, whole)),
    )


def _estimated(
    work: Workload, slow: Chip, whole: Count, fast: Pool, per_kwh: Range
) -> Estimate | None:
    if whole.usual is None:
        return None
    hour = on_one_basis(fast.chip, slow, per_kwh)[1]
    try:
        return estimate(work, Pool(whole.usual, slow), per_kwh, hour)
    except CannotRun:
        return None


def _main_precision(work: Workload) -> str:
    return work.train_precision if work.kind in ("pretrain", "sft") else work.precision


def _key(peaks: Mapping[str, Peak], precision: str) -> str:
    return precision if precision in peaks or precision != "fp8" else "int8"


def _unmeasured(slow: Chip, found: list[Count]) -> list[str]:
    works = {FAMILY_OF[count.name] for count in found if count.name in FAMILY_OF}
    used = [work for work in FAMILIES if work in works]
    return [work for work in used if not slower_than_predicted(work, slow.key)[1]]


def _not_carried(
    fast: Pool, slow: Chip, wanted: Workload, work: Workload, counts: list[Count]
) -> list[str]:
    """What no number of slow chips makes up for, in words."""
    found = []
    for count in counts:
        if count.usual is None and count.fast_seconds > _FELT * counts[0].fast_seconds:
            times = "never" if isinf(count.floor) else f"{count.floor:.2g} times the time at best"
            found.append(f"{count.name}: no number of chips ({count.binds}): {times}")
    narrower = [p for p in fast.chip.peaks if BITS[p] < 16 and p not in slow.peaks]
    if narrower:
        names = ", ".join(p.upper() for p in narrower)
        found.append(f"precision: {slow.name} has no units for {names}")
    mine, theirs = fast.chip.link, slow.link
    if mine and (theirs is None or theirs.domain < mine.domain):
        joined = theirs.domain if theirs else 1
        found.append(
            f"domain: {mine.domain} chips of the fast kind share one fast link, {joined} of the "
            "slow; more chips do not widen it"
        )
    if work.kind in ("rl", "distill") and work.environment_s:
        found.append("environments: their time is the same on any chip")
    if (work.precision, work.train_precision) != (wanted.precision, wanted.train_precision):
        found.append(
            f"the precision wanted ({wanted.precision} sampling, {wanted.train_precision} "
            f"training) is not on both; compared in {work.precision} and {work.train_precision}"
        )
    return found


def _changes(
    fast: Pool, slow: Chip, wanted: Workload, work: Workload, whole: Count
) -> list[Change]:
    """Other questions near this one whose count differs by a tenth or more."""
    asked: list[tuple[str, Workload]] = []
    for precision in ("fp8", "fp4"):
        if precision in fast.chip.peaks and BITS[precision] < BITS[work.precision]:
            other = replace(work, precision=precision)
            if precision == "fp8" and work.kind != "serve":
                other = replace(other, train_precision="fp8")
            what = f"the fast side in {precision.upper()}, the slow in what it has"
            asked.append((what, other))
    if work.kind in ("rl", "distill"):
        asked.append(("asynchronous: no waiting for the longest episode", _async(work)))
        asked.append(("4 times the episodes", replace(work, episodes=work.episodes * 4)))
    if work.environment_s:
        asked.append(("environments that answer at once", replace(work, environment_s=0.0)))
    if work.method == "full" and work.kind != "serve":
        asked.append(("LoRA instead of all weights", replace(work, method="lora")))
    if work.speed:
        asked.append(("half the speed for a user", replace(work, speed=work.speed / 2)))
        asked.append(("twice the speed for a user", replace(work, speed=work.speed * 2)))
    asked.append(("8 times the context and lengths", _longer(work, 8)))
    found = []
    for what, other in asked:
        try:
            count = counted_as_asked(fast, slow, other)
        except CannotRun:
            continue
        if _differs(count.usual, whole.usual):
            found.append(Change(what, count))
    return found


def _async(work: Workload) -> Workload:
    return replace(work, overlapped=True)


def _longer(work: Workload, times: int) -> Workload:
    return replace(
        work,
        context=work.context * times,
        prompt_tokens=work.prompt_tokens * times,
        observed_tokens=work.observed_tokens * times,
        sampled_tokens=work.sampled_tokens * times,
    )


def _differs(one: int | None, other: int | None) -> bool:
    if one is None or other is None:
        return one is not other
    return abs(one - other) >= max(1, ceil(0.1 * other))

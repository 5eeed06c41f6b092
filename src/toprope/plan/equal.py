"""How many of one chip do the work of so many of another, per phase, and where that breaks.

Counts are found by the phases' own times, at a precision both chips have. Shares of peak are
taken equal on both sides; a chip's figures and how far figures carry over make the range.
It must not know how answers are shown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from math import ceil, inf, isinf

from toprope.plan.chips import Chip
from toprope.plan.estimate import CannotRun, Estimate, estimate
from toprope.plan.machine import BITS, common_precision, machine
from toprope.plan.money import on_one_basis
from toprope.plan.phases import goodput, phases
from toprope.plan.pool import Corner, Pool
from toprope.plan.ranges import Range
from toprope.plan.rates import FAMILIES, Carry, carries_over, slower_than_predicted
from toprope.plan.serving import Spent
from toprope.plan.workload import Workload

MOST = 1 << 20  # chips beyond which "more" is no answer
SAME = 1.03  # times within 3 % of each other are the same
_FAMILY = {
    "decode": "decode",
    "train": "train",
    "prefill": "prefill",
    "log-probabilities": "prefill",
    "teacher": "prefill",
}


@dataclass(frozen=True, slots=True)
class Count:
    """How many slow chips match, of one phase or of all.

    A bound is None where no number does; then `floor` is how many times the fast pool's time
    the slow chip takes at best.
    """

    name: str
    least: int | None
    usual: int | None
    most: int | None
    binds: str
    floor: float
    fast_seconds: float
    how: str

    def told(self) -> str:
        """Return the usual number, and from the least to the most; `any` for environments."""
        if self.usual is None:
            return "no number"
        if self.name == "environment":
            return "any"
        ends = [f"{end:,}" if end is not None else "no number" for end in (self.least, self.most)]
        return f"{self.usual:,} ({ends[0]}–{ends[1]})" if ends[0] != ends[1] else f"{self.usual:,}"


@dataclass(frozen=True, slots=True)
class Change:
    """A change of the question and the count it would answer."""

    what: str
    usual: int | None


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
    work = _comparable(fast.chip, slow, wanted)
    fast_estimate = estimate(work, fast, per_kwh, on_one_basis(fast.chip, slow, per_kwh)[0])
    counts, rows = _counts(fast, slow, work)
    whole = counts.pop(0)
    slow_estimate = _estimated(work, slow, whole, fast, per_kwh)
    return Equal(
        work=work,
        fast=fast,
        slow=slow,
        whole=whole,
        phases=tuple(counts),
        fast_estimate=fast_estimate,
        slow_estimate=slow_estimate,
        by_flops=flops_only(fast, slow, _main_precision(work)),
        rows=tuple(rows),
        unmeasured=tuple(_unmeasured(slow, counts)),
        not_carried=tuple(_not_carried(fast, slow, wanted, work, [whole, *counts])),
        changes=tuple(_changes(fast, slow, wanted, work, whole)),
    )


def whole_count(fast: Pool, slow: Chip, wanted: Workload) -> Count:
    """Return the count of the whole workload alone, with its bounds. Raises as `equal`."""
    work = _comparable(fast.chip, slow, wanted)
    bands = {family: carries_over(family, fast.chip.key, slow.key)[0] for family in FAMILIES}
    ends = [_solve(fast, slow, work, *end, whole_only=True)[0] for end in _ends(bands)]
    return replace(ends[1], least=ends[0].usual, most=ends[2].usual)


_End = tuple[Corner, Corner, dict[str, float]]


def _ends(bands: Mapping[str, Range]) -> tuple[_End, _End, _End]:
    """Figures of the fast and of the slow side, and how much slower, at the three ends."""
    return (
        ("slow", "fast", {family: band.min for family, band in bands.items()}),
        ("usual", "usual", {family: band.typ for family, band in bands.items()}),
        ("fast", "slow", {family: band.max for family, band in bands.items()}),
    )


def _comparable(fast: Chip, slow: Chip, work: Workload) -> Workload:
    return replace(
        work,
        precision=common_precision(fast, slow, work.precision),
        train_precision=common_precision(fast, slow, work.train_precision, training=True),
    )


def _counts(fast: Pool, slow: Chip, work: Workload) -> tuple[list[Count], list[Carry]]:
    """Counts of the whole and of each phase, and the measured rows they rest on."""
    rows: dict[str, Carry] = {}
    bands = {}
    for family in FAMILIES:
        bands[family], found = carries_over(family, fast.chip.key, slow.key)
        rows.update({row.work + row.chip + row.told: row for row in found})
    least, usual, most = (_solve(fast, slow, work, *end) for end in _ends(bands))
    counts = [
        replace(middle, least=low.usual, most=high.usual)
        for low, middle, high in zip(least, usual, most, strict=True)
    ]
    used = {_FAMILY.get(count.name, "") for count in counts}
    return counts, [row for row in rows.values() if row.work in used]


def _solve(
    fast: Pool,
    slow: Chip,
    work: Workload,
    fast_figures: Corner,
    slow_figures: Corner,
    slower: dict[str, float],
    *,
    whole_only: bool = False,
) -> list[Count]:
    """Counts at one end: the whole first, then each phase unless `whole_only`."""
    quick, late = machine(fast.chip, fast_figures), machine(slow, slow_figures, slower=slower)
    target = phases(work, quick, fast.count)
    for spent in target:
        if isinf(spent.seconds):
            why = f"{spent.name}: {spent.why_not}"
            raise CannotRun(f"{work.name} does not run on {fast}: {why}; give it more chips")

    @cache
    def all_of(chips: int) -> list[Spent]:
        return phases(work, late, chips)

    total = sum(spent.seconds for spent in target)
    found = [_match("all of it", total / _kept(work, fast), all_of, work, slow)]
    for i, spent in enumerate([] if whole_only else target):
        one = _Nth(all_of, i)
        found.append(_match(spent.name, spent.seconds, one, work, slow))
    return found


@dataclass(frozen=True, slots=True)
class _Nth:
    """One phase of all, on so many chips."""

    all_of: Callable[[int], list[Spent]]
    place: int

    def __call__(self, chips: int) -> list[Spent]:
        return [self.all_of(chips)[self.place]]


def _kept(work: Workload, pool: Pool) -> float:
    return goodput(work, pool.chip, pool.count, "usual")


def _match(
    name: str, seconds: float, at: Callable[[int], list[Spent]], work: Workload, slow: Chip
) -> Count:
    """The fewest chips that take no longer than `seconds`, by halving; time falls with chips."""
    whole = name == "all of it"

    def taken(chips: int) -> float:
        spent = sum(one.seconds for one in at(chips))
        return spent / _kept(work, Pool(chips, slow)) if whole else spent

    low, high = 0, 1
    while high < MOST and taken(high) > seconds * SAME:
        low, high = high, high * 2
    if taken(high) > seconds * SAME:
        return _none(name, seconds, at, taken)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if taken(middle) <= seconds * SAME else (middle, high)
    here = at(high)
    binds = _binds(here)
    if low and any(one.why_not for one in at(low)):
        binds = "capacity" if not work.speed else next(s.binds for s in at(low) if s.why_not)
    how = max(here, key=lambda one: one.seconds).how
    return Count(name, high, high, high, binds, 1.0, seconds, how)


def _none(
    name: str, seconds: float, at: Callable[[int], list[Spent]], taken: Callable[[int], float]
) -> Count:
    """What is left at the number of chips that comes nearest."""
    sizes = [1 << power for power in range(MOST.bit_length())]
    best = min(sizes, key=taken)
    binds = _binds(at(best))
    floor = taken(best) / seconds if not isinf(taken(best)) else inf
    return Count(name, None, None, None, binds, floor, seconds, at(best)[0].how)


def _binds(spent: list[Spent]) -> str:
    impossible = [one for one in spent if one.why_not]
    if impossible:
        return impossible[0].binds
    terms: dict[str, float] = {}
    for one in spent:
        for resource, seconds in one.terms.items():
            terms[resource] = terms.get(resource, 0.0) + seconds
    return max(terms, key=lambda name: terms[name])


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


def _key(peaks: object, precision: str) -> str:
    return precision if precision in peaks or precision != "fp8" else "int8"  # type: ignore[operator]


def _unmeasured(slow: Chip, counts: list[Count]) -> list[str]:
    works = {_FAMILY[count.name] for count in counts if count.name in _FAMILY}
    used = [work for work in FAMILIES if work in works]
    return [work for work in used if not slower_than_predicted(work, slow.key)[1]]


def _not_carried(
    fast: Pool, slow: Chip, wanted: Workload, work: Workload, counts: list[Count]
) -> list[str]:
    """What no number of slow chips makes up for, in words."""
    found = []
    for count in counts:
        if count.usual is None:
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
            usual = _solve(fast, slow, other, "usual", "usual", {}, whole_only=True)[0].usual
        except CannotRun:
            continue
        if _differs(usual, whole.usual):
            found.append(Change(what, usual))
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

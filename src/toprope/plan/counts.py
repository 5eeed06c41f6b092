"""How many of a slow machine take no longer than a fast pool: counts by the phases' own times.

Found by halving, since a phase never takes longer on more chips. Shares of peak are taken equal
on both sides; a chip's figures and how far predictions carry over make the range. It must
not know prices.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from math import inf, isinf

from toprope.plan.chips import Chip
from toprope.plan.estimate import CannotRun
from toprope.plan.machine import common_precision, machine
from toprope.plan.phases import goodput, phases
from toprope.plan.pool import Corner, Pool
from toprope.plan.ranges import Range
from toprope.plan.rates import FAMILIES, Carry, carries_over
from toprope.plan.serving import Spent
from toprope.plan.workload import Workload

MOST = 1 << 20  # chips beyond which "more" is no answer
SAME = 1.03  # times within 3 % of each other are the same


FAMILY_OF = {
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


def whole_count(fast: Pool, slow: Chip, wanted: Workload) -> Count:
    """Return the count of the whole workload alone, with its bounds. Raises as `equal`."""
    return counted_as_asked(fast, slow, comparable(fast.chip, slow, wanted))


def counted_as_asked(fast: Pool, slow: Chip, work: Workload) -> Count:
    """Return the same in the precisions asked for, each chip in the nearest that it has."""
    bands = {family: carries_over(family, fast.chip.key, slow.key)[0] for family in FAMILIES}
    ends = [solve(fast, slow, work, *end, whole_only=True)[0] for end in _ends(bands)]
    return replace(ends[1], least=ends[0].usual, most=ends[2].usual)


_End = tuple[Corner, Corner, dict[str, float]]


def _ends(bands: Mapping[str, Range]) -> tuple[_End, _End, _End]:
    """Figures of the fast and of the slow side, and how much slower, at the three ends."""
    return (
        ("slow", "fast", {family: band.min for family, band in bands.items()}),
        ("usual", "usual", {family: band.typ for family, band in bands.items()}),
        ("fast", "slow", {family: band.max for family, band in bands.items()}),
    )


def comparable(fast: Chip, slow: Chip, work: Workload) -> Workload:
    """Return the workload at precisions both chips have. Raises `NoPrecision` if there is none."""
    return replace(
        work,
        precision=common_precision(fast, slow, work.precision),
        train_precision=common_precision(fast, slow, work.train_precision, training=True),
    )


def counts(fast: Pool, slow: Chip, work: Workload) -> tuple[list[Count], list[Carry]]:
    """Counts of the whole and of each phase, and the measured rows they rest on."""
    rows: dict[str, Carry] = {}
    bands = {}
    for family in FAMILIES:
        bands[family], found = carries_over(family, fast.chip.key, slow.key)
        rows.update({row.work + row.chip + row.told: row for row in found})
    least, usual, most = (solve(fast, slow, work, *end) for end in _ends(bands))
    counts = [
        replace(middle, least=low.usual, most=high.usual)
        for low, middle, high in zip(least, usual, most, strict=True)
    ]
    used = {FAMILY_OF.get(count.name, "") for count in counts}
    return counts, [row for row in rows.values() if row.work in used]


def solve(
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
            raise CannotRun(f"{spent.name}: {spent.why_not}", work, fast)

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
    # Environments take the same time on both sides, so they are not what is missing.
    binds = _binds([one for one in at(best) if one.name != "environment"] or at(best))
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

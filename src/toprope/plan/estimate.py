"""A whole workload on a pool: seconds, energy and money as ranges, by phase, with what binds.

The chip's figures and the shares it reaches are taken at three corners, all slow, usual, all
fast. It must not know how two chips compare.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isinf

from toprope.plan.instead import instead
from toprope.plan.machine import machine
from toprope.plan.money import VCPU_HOUR, Hourly, hourly
from toprope.plan.phases import goodput, phases
from toprope.plan.pool import CORNERS, Corner, Pool, over_corners
from toprope.plan.ranges import Range
from toprope.plan.serving import RESOURCES, Spent
from toprope.plan.workload import Workload
from toprope.terms import TopropeError


class CannotRun(TopropeError):
    """A workload that no time is enough for on a pool: the resource that is missing.

    Its text tells what would run instead, looked for only when somebody reads it.
    """

    def __init__(self, why: str, work: Workload, pool: Pool) -> None:
        super().__init__(why)
        self.why, self.work, self.pool = why, work, pool

    def __str__(self) -> str:
        ways = instead(self.work, self.pool.chip, self.pool.count)
        first = f"{self.work.name} does not run on {self.pool}: {self.why}. "
        if not ways:
            return first + "Nothing near it does; `toprope plan fit` shows what is held."
        return f"{first}What does: {'; '.join(ways)}. `toprope plan fit` shows what is held."


@dataclass(frozen=True, slots=True)
class PhaseEstimate:
    """One phase: seconds, the share of them by resource (usual case), the one that binds."""

    name: str
    seconds: Range
    shares: dict[str, float]
    binds: str
    how: str


@dataclass(frozen=True, slots=True)
class Estimate:
    """A workload on a pool. `dollars` is None where nobody tells the chip's price."""

    work: Workload
    pool: Pool
    phases: tuple[PhaseEstimate, ...]
    goodput: Range
    seconds: Range
    joules: Range
    hour: Hourly
    dollars: Range | None
    environment_dollars: Range
    binds: str


def estimate(work: Workload, pool: Pool, per_kwh: Range, hour: Hourly | None = None) -> Estimate:
    """Return what the workload takes on the pool. Raises `CannotRun` naming what is missing."""
    by_corner = {corner: _phases_at(work, pool, corner) for corner in CORNERS}
    kept = {corner: goodput(work, pool.chip, pool.count, corner) for corner in CORNERS}
    found = tuple(
        _joined([by_corner[corner][i] for corner in CORNERS])
        for i in range(len(by_corner["usual"]))
    )
    busy = {corner: sum(spent.seconds for spent in by_corner[corner]) for corner in CORNERS}
    seconds = over_corners(*(busy[corner] / kept[corner] for corner in CORNERS))
    hour = hour or hourly(pool.chip, per_kwh)
    chip_hours = seconds * (pool.count / 3600)
    return Estimate(
        work=work,
        pool=pool,
        phases=found,
        goodput=Range(kept["slow"], kept["usual"], kept["fast"]),
        seconds=seconds,
        joules=seconds * pool.chip.power.range * pool.count,
        hour=hour,
        dollars=chip_hours * hour.dollars if hour.dollars else None,
        environment_dollars=_environments(work),
        binds=_binding(found),
    )


def _phases_at(work: Workload, pool: Pool, corner: Corner) -> list[Spent]:
    found = phases(work, machine(pool.chip, corner, corner), pool.count)
    for spent in found:
        if isinf(spent.seconds):
            resource, _, why = spent.why_not.partition(": ")
            worst = " if its figures are at their low end" if corner == "slow" else ""
            raise CannotRun(f"{resource} ({spent.name}){worst}: {why}", work, pool)
    return found


def _binding(found: tuple[PhaseEstimate, ...]) -> str:
    """The resource that takes the most of the usual time over all phases."""
    total: dict[str, float] = {}
    for phase in found:
        for resource, share in phase.shares.items():
            total[resource] = total.get(resource, 0.0) + share * phase.seconds.typ
    return max(total, key=lambda resource: total[resource])


def _joined(spent: list[Spent]) -> PhaseEstimate:
    usual = spent[1]
    total = usual.seconds
    shares = {
        name: usual.terms[name] / total
        for name in RESOURCES
        if total and usual.terms.get(name, 0) / total > 0.005
    }
    seconds = over_corners(*(one.seconds for one in spent))
    return PhaseEstimate(usual.name, seconds, shares, usual.binds, usual.how)


def _environments(work: Workload) -> Range:
    """$ for the processors that environments run on, one vCPU each."""
    busy = work.iterations * work.episodes * work.turns * work.environment_s
    return VCPU_HOUR * (busy / 3600)

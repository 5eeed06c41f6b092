"""Years behind: how long before a chip another maker's first chip matched it, per resource.

Only chips of the table count, so what an unlisted chip had earlier is not seen. It must not
know workloads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from toprope.plan.chips import Chip

Figure = Callable[[Chip], float | None]


@dataclass(frozen=True, slots=True)
class Lag:
    """One resource: the chip's figure, who had as much first, and how many years earlier.

    `years` is None where no other chip had as much before: ahead, or a resource it lacks.
    """

    resource: str
    dimension: str
    value: float | None
    first: Chip | None
    years: float | None


def _peak(precision: str) -> Figure:
    def figure(chip: Chip) -> float | None:
        rate = chip.peak(precision)
        return rate.typ if rate else None

    return figure


def _eight_bits(chip: Chip) -> float | None:
    return _peak("fp8")(chip) or _peak("int8")(chip)


def _domain_memory(chip: Chip) -> float | None:
    return chip.memory.range.typ * chip.link.domain if chip.link else None


def _per_watt(chip: Chip) -> float | None:
    rate = chip.peak("bf16")
    return rate.typ / chip.power.range.typ if rate else None


RESOURCES: dict[str, tuple[str, Figure]] = {
    "BF16 FLOPs": ("FLOP/s", _peak("bf16")),
    "8-bit FLOPs": ("FLOP/s", _eight_bits),
    "bandwidth": ("B/s", lambda chip: chip.bandwidth.range.typ),
    "capacity": ("B", lambda chip: chip.memory.range.typ),
    "link": ("B/s", lambda chip: chip.link.rate.range.typ if chip.link else None),
    "memory of a domain": ("B", _domain_memory),
    "BF16 FLOPs per all-in watt": ("FLOP/s", _per_watt),
}


def years_behind(chip: Chip, others: Mapping[str, Chip]) -> list[Lag]:
    """Return the lag per resource against every other maker's shipped chips."""
    maker = chip.name.split()[0]
    rivals = sorted(
        (one for one in others.values() if one.name.split()[0] != maker),
        key=lambda one: one.released,
    )
    rivals = [one for one in rivals if one.status == "shipped"]
    found = []
    for resource, (dimension, figure) in RESOURCES.items():
        value = figure(chip)
        first = None
        if value is not None:
            first = next((r for r in rivals if (figure(r) or 0.0) >= value), None)
        years = _years(first.released, chip.released) if first else None
        found.append(Lag(resource, dimension, value, first, years))
    return found


def _years(earlier: str, later: str) -> float:
    months = [12 * int(date[:4]) + int(date[5:7]) for date in (earlier, later)]
    return (months[1] - months[0]) / 12

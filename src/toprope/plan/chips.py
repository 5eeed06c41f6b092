"""Chips as the planner sees them: figures with their range, unit, source and status.

It must not know models or workloads; how files become chips is `plan/chipfile.py`'s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from toprope.plan.nearest import did_you_mean, plain
from toprope.plan.ranges import Range
from toprope.plan.units import told
from toprope.terms import TopropeError

STATUSES = ("datasheet", "reported", "measured", "estimated", "assumed", "announced")
PRECISIONS = ("fp32", "bf16", "fp8", "int8", "fp4")


class ChipError(TopropeError):
    """A chip's figure that would mislead: what is wrong with it and how to write it."""


class UnknownChip(TopropeError):
    """A chip by no known name: the nearest one, or why nobody can tell its figures."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """A figure in base units (FLOP/s, B, B/s, W, $, $/h, s) and where it comes from."""

    range: Range
    dimension: str
    source: str
    status: str
    note: str = ""
    date: str = ""

    def __str__(self) -> str:
        return f"{told(self.range, self.dimension)} [{self.status}]"


@dataclass(frozen=True, slots=True)
class Peak:
    """A dense matrix rate in FLOP/s and the width it accumulates in."""

    rate: Quantity
    accumulate: str


@dataclass(frozen=True, slots=True)
class Link:
    """One way out of a chip: B/s in one direction, and how many chips its domain joins.

    A `domain` of 0 means no limit: the network between machines.
    """

    rate: Quantity
    domain: int


@dataclass(frozen=True, slots=True)
class Chip:
    """One chip. `peaks` holds only what it does natively; what nobody tells is None."""

    key: str
    name: str
    released: str  # YYYY-MM
    status: str  # shipped or announced
    process: str
    process_nm: int | None
    peaks: Mapping[str, Peak]
    memory: Quantity
    bandwidth: Quantity
    power: Quantity  # all-in W: chip, host, network, cooling
    failure: Quantity  # chip-seconds between interruptions
    aliases: tuple[str, ...] = ()
    link: Link | None = None  # within the domain
    scale_out: Link | None = None  # between domains
    tdp: Quantity | None = None
    rent: Quantity | None = None  # $/h
    buy: Quantity | None = None  # $
    layer_latency: Quantity | None = None  # s of a decode step per layer, where measured
    notes: tuple[str, ...] = field(default=())

    def peak(self, precision: str) -> Range | None:
        """Return the dense FLOP/s at a precision, or None if the chip has no such units."""
        found = self.peaks.get(precision)
        return found.rate.range if found else None

    def measured(self) -> bool:
        """Whether its rates were measured on it, and not read off a datasheet."""
        return self.bandwidth.status == "measured"


@dataclass(frozen=True, slots=True)
class Undocumented:
    """A name that people use and nobody documents."""

    name: str
    aliases: tuple[str, ...]
    answer: str


class Chips(dict[str, Chip]):
    """Chips by key, and the names that have an answer instead of figures."""

    def __init__(self, chips: Mapping[str, Chip], unknown: Sequence[Undocumented] = ()) -> None:
        super().__init__(chips)
        self.unknown = tuple(unknown)


def find_chip(name: str, chips: Mapping[str, Chip]) -> Chip:
    """Return the chip of that key, name or alias, whatever its case and spaces.

    Raises `UnknownChip` with the nearest name, or with why there are no figures.
    """
    names = {plain(one): chip for chip in chips.values() for one in _names(chip)}
    if plain(name) in names:
        return names[plain(name)]
    for one in getattr(chips, "unknown", ()):
        if plain(name) in {plain(n) for n in (one.name, *one.aliases)}:
            raise UnknownChip(f"{name}: {one.answer}")
    told_names = [one for chip in chips.values() for one in _names(chip)]
    where = "`toprope plan chips` lists them, --chips FILE adds your own"
    raise UnknownChip(f"no chip is called {name!r}; {did_you_mean(name, told_names, where)}")


def _names(chip: Chip) -> tuple[str, ...]:
    return (chip.key, chip.name, *chip.aliases)

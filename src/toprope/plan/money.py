"""What a pool costs an hour and what it draws: rent, or buying spread over years, and power.

It must not know workloads. Prices are ranges whose ends are kinds of contract, so two chips
are compared contract by contract and not the cheapest of one with the dearest of the other.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from toprope.plan.chips import Chip
from toprope.plan.nearest import did_you_mean
from toprope.plan.ranges import Range
from toprope.terms import TopropeError

_TARIFFS = Path(__file__).with_name("tariffs.toml")
# A bought chip: servers, network and building around it (times its price), years of use, and
# the share of hours it works.
_AROUND = Range(1.3, 1.5, 1.8)
_YEARS = Range(3.0, 4.0, 6.0)
_WORKING = Range(0.6, 0.8, 0.95)
VCPU_HOUR = Range(0.007, 0.02, 0.05)  # SkyPilot catalog, Verda to Lambda; the middle assumed


class UnknownRegion(TopropeError):
    """A region without a tariff: the nearest one."""


@dataclass(frozen=True, slots=True)
class Hourly:
    """$ per chip-hour and what it is made of: `rent`, `buy`, or `` where nobody tells a price."""

    dollars: Range | None
    basis: str
    of_it_power: Range


def tariffs() -> dict[str, Range]:
    """Return $ per kWh by region."""
    rows = tomllib.loads(_TARIFFS.read_text("utf-8"))["region"]
    return {name: Range(row["min"], row["typ"], row["max"]) for name, row in rows.items()}


def tariff(region: str) -> Range:
    """Return a region's $ per kWh, or the number given. Raises `UnknownRegion`."""
    known = tariffs()
    if region in known:
        return known[region]
    try:
        value = float(region)
    except ValueError:
        where = f"regions are {', '.join(known)}; or give $ per kWh as a number"
        raise UnknownRegion(
            f"no tariff for {region!r}; {did_you_mean(region, known, where)}"
        ) from None
    if not 0 <= value < 10:
        raise UnknownRegion(f"{value} $ per kWh is no tariff; world prices are 0.03 to 0.5")
    return Range.of(value)


def hourly(chip: Chip, per_kwh: Range, basis: str = "") -> Hourly:
    """Return what a chip costs an hour: its rent if it has one, else bought; `basis` insists."""
    power = chip.power.range / 1000 * per_kwh
    if chip.rent is not None and basis != "buy":
        return Hourly(chip.rent.range, "rent", power)
    if chip.buy is not None and basis != "rent":
        hours = _YEARS * 8760 * _WORKING
        capital = Range(
            chip.buy.range.min * _AROUND.min / hours.max,
            chip.buy.range.typ * _AROUND.typ / hours.typ,
            chip.buy.range.max * _AROUND.max / hours.min,
        )
        return Hourly(capital + power, "buy", power)
    return Hourly(None, "", power)


def on_one_basis(one: Chip, other: Chip, per_kwh: Range) -> tuple[Hourly, Hourly]:
    """Return both chips' hours by rent if both are let, else both bought, else as each is."""
    for basis in ("rent", "buy"):
        pair = hourly(one, per_kwh, basis), hourly(other, per_kwh, basis)
        if all(side.dollars for side in pair):
            return pair
    return hourly(one, per_kwh), hourly(other, per_kwh)


def matched_ratio(one: Range, other: Range) -> Range:
    """Return one price over another, contract by contract: least by least, list by list."""
    ratios = sorted((one.min / other.min, one.typ / other.typ, one.max / other.max))
    return Range(ratios[0], one.typ / other.typ, ratios[2])

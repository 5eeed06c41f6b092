"""Reads a file of chips, and refuses the figures that usually mislead.

Refused: a peak that does not say it is dense or what it accumulates in; FP8 that is not twice
BF16 without saying why; a link without its direction or domain; a plan among the figures of
what ships; a price without a date; a figure without a source. It must not know workloads.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from toprope.plan.chips import (
    PRECISIONS,
    STATUSES,
    Chip,
    ChipError,
    Chips,
    Link,
    Peak,
    Quantity,
    Undocumented,
)
from toprope.plan.nearest import did_you_mean
from toprope.plan.ranges import Range, RangeError
from toprope.plan.units import UnitError, to_base

_FIGURES = {
    "memory": "B",
    "bandwidth": "B/s",
    "link": "B/s",
    "scale_out": "B/s",
    "tdp": "W",
    "all_in": "W",
    "failure": "s",
    "rent": "$/h",
    "buy": "$",
    "layer_latency": "s",
    **dict.fromkeys(PRECISIONS, "FLOP/s"),
}
_WORDS = {"name", "aliases", "released", "process", "process_nm", "status", "source", "notes"}
_PARTS = {"min", "typ", "max", "unit", "source", "status", "note"}
_MORE = {
    **{precision: {"dense", "accumulate", "ratio"} for precision in PRECISIONS},
    "link": {"direction", "domain"},
    "scale_out": {"direction"},
    "rent": {"date"},
    "buy": {"date"},
}
_ACCUMULATES = {"int8": "int32"}
_BOTH_WAYS = {"one way": 1.0, "both ways": 0.5}

# All-in watts over the chip's own: host, network and cooling. The ends are a bare host and
# SemiAnalysis' H100 (1.73 kW of 0.7 kW); B200 2.17, GB200 1.75, MI355X 1.89.
_ALL_IN = Range(1.35, 2.1, 2.5)
# Interruptions of Meta's 16,384 H100 in 54 days; nobody publishes those of other chips.
_FAILURE = Range(20_000 * 3600.0, 50_677 * 3600.0, 150_000 * 3600.0)


def load_chips(extra: Sequence[Path] = ()) -> Chips:
    """Return the shipped chips and those of `extra` files, which may replace shipped ones.

    Raises `ChipError` naming the file, the chip and the field that misleads.
    """
    shipped = Path(__file__).with_name("chips.toml")
    chips: dict[str, Chip] = {}
    unknown: list[Undocumented] = []
    for path in (shipped, *extra):
        more, undocumented = read_chips(path)
        chips.update(more)
        unknown += undocumented
    return Chips(chips, unknown)


def read_chips(path: Path) -> tuple[dict[str, Chip], list[Undocumented]]:
    """Return a file's chips by key, and the names it answers for. Raises `ChipError`."""
    try:
        found = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ChipError(f"{path}: not a readable TOML file of chips: {error}") from error
    _no_others(found, {"sources", "chip", "unknown"}, f"{path}")
    sources = found.get("sources", {})
    if not found.get("chip"):
        raise ChipError(f"{path}: no chip in it; write a table [chip.NAME]")
    chips = {}
    for key, row in found["chip"].items():
        try:
            chips[key] = _Reader(key, row, sources).chip()
        except (RangeError, UnitError, ChipError) as error:
            raise ChipError(f"{path.name}: {key}: {error}") from error
    unknown = [
        Undocumented(name, tuple(row.get("aliases", ())), row["answer"])
        for name, row in found.get("unknown", {}).items()
    ]
    return chips, unknown


class _Reader:
    """One chip's table."""

    def __init__(self, key: str, row: Any, sources: Mapping[str, str]) -> None:
        if not isinstance(row, dict):
            raise ChipError("a chip is a table: write [chip.NAME] and its figures below")
        self.key, self.row, self.sources = key, row, sources

    def chip(self) -> Chip:
        row = self.row
        _no_others(row, _WORDS | set(_FIGURES), "this chip")
        if row.get("status") not in ("shipped", "announced"):
            raise ChipError('status: write status = "shipped" or "announced"')
        if not re.fullmatch(r"\d{4}-\d{2}", str(row.get("released", ""))):
            raise ChipError('released: write the year and month it shipped, as "2024-11"')
        peaks = {p: self._peak(p) for p in PRECISIONS if p in row}
        if not peaks:
            raise ChipError(f"no matrix rate; give one of {', '.join(PRECISIONS)}")
        _check_ratios(peaks, row)
        return Chip(
            key=self.key,
            name=str(row.get("name", self.key)),
            aliases=tuple(row.get("aliases", ())),
            released=row["released"],
            status=row["status"],
            process=str(row.get("process", "not published")),
            process_nm=row.get("process_nm"),
            peaks=peaks,
            memory=self._needed("memory"),
            bandwidth=self._needed("bandwidth"),
            link=self._link("link"),
            scale_out=self._link("scale_out"),
            tdp=self._figure("tdp"),
            power=self._power(),
            failure=self._figure("failure") or _assumed(_FAILURE, "s", "as the H100, wider"),
            rent=self._price("rent"),
            buy=self._price("buy"),
            layer_latency=self._figure("layer_latency"),
            notes=tuple(row.get("notes", ())),
        )

    def _needed(self, name: str) -> Quantity:
        found = self._figure(name)
        if found is None:
            raise ChipError(f"{name} is missing; a chip without it cannot be planned with")
        return found

    def _figure(self, name: str) -> Quantity | None:
        row = self.row.get(name)
        if row is None:
            return None
        if not isinstance(row, dict):
            raise ChipError(f'{name}: write {{ typ = {row}, unit = "..." }}, with min and max')
        _no_others(row, _PARTS | _MORE.get(name, set()), name)
        if "typ" not in row:
            raise ChipError(f"{name}: typ is missing, the value that is usual")
        if "unit" not in row:
            raise ChipError(f"{name}: unit is missing")
        try:
            base = to_base(row["unit"], _FIGURES[name])
            values = _range(row)
        except (UnitError, RangeError) as error:
            raise ChipError(f"{name}: {error}") from error
        if values.min <= 0:
            raise ChipError(f"{name}: {values.min} is not above 0; leave out what is not known")
        return Quantity(
            range=values * base,
            dimension=_FIGURES[name],
            source=self._source(name, row),
            status=self._status(name, row),
            note=str(row.get("note", "")),
            date=str(row.get("date", "")),
        )

    def _source(self, name: str, row: Mapping[str, Any]) -> str:
        told = str(row.get("source", self.row.get("source", "")))
        if told in self.sources:
            return self.sources[told]
        if told.startswith(("https://", "http://", "measured")):
            return told
        if told:
            near = did_you_mean(told, self.sources, "or write an address, or `measured ...`")
            raise ChipError(f"{name}: source {told!r} is not in [sources]; {near}")
        raise ChipError(f"{name}: no source; a figure nobody can look up is not taken")

    def _status(self, name: str, row: Mapping[str, Any]) -> str:
        told = str(row.get("status", "reported"))
        if told not in STATUSES:
            raise ChipError(f"{name}: status {told!r}: write one of {', '.join(STATUSES)}")
        if told == "announced" and self.row["status"] == "shipped":
            raise ChipError(
                f"{name}: an announced figure on a chip that ships; give the shipped figure, "
                "or describe the plan as a chip of its own"
            )
        return told

    def _peak(self, name: str) -> Peak:
        row = self.row[name]
        found = self._needed(name)
        if row.get("dense") is not True:
            raise ChipError(
                f"{name}: say dense = true; datasheets print the sparse rate, twice as high"
            )
        wanted = _ACCUMULATES.get(name, "fp32")
        if row.get("accumulate") != wanted:
            raise ChipError(
                f'{name}: say accumulate = "{wanted}"; with a narrower accumulator some chips '
                "are twice as fast, and models are not trained that way"
            )
        return Peak(found, wanted)

    def _link(self, name: str) -> Link | None:
        found = self._figure(name)
        if found is None:
            return None
        row = self.row[name]
        if row.get("direction") not in _BOTH_WAYS:
            raise ChipError(f'{name}: say direction = "one way" or "both ways" (which is halved)')
        domain = row.get("domain", 0)
        if name == "link" and (not isinstance(domain, int) or domain < 2):
            raise ChipError("link: say domain = N, how many chips it joins")
        rate = found.range * _BOTH_WAYS[row["direction"]]
        return Link(Quantity(rate, "B/s", found.source, found.status, found.note), domain)

    def _price(self, name: str) -> Quantity | None:
        found = self._figure(name)
        if found is not None and not found.date:
            raise ChipError(f'{name}: a price needs its date = "YYYY-MM"')
        return found

    def _power(self) -> Quantity:
        told = self._figure("all_in")
        if told is not None:
            return told
        tdp = self._figure("tdp")
        if tdp is None:
            raise ChipError("power is missing; give all_in, or tdp to have it estimated")
        return _assumed(_ALL_IN * tdp.range, "W", "1.35 to 2.5 times the chip's own watts")


def _range(row: Mapping[str, Any]) -> Range:
    numbers = [row.get(part, row["typ"]) for part in ("min", "typ", "max")]
    for one in numbers:
        if isinstance(one, bool) or not isinstance(one, int | float):
            raise RangeError(f"{one!r} is not a number")
    return Range(*numbers)


def _check_ratios(peaks: Mapping[str, Peak], row: Mapping[str, Any]) -> None:
    """FP8 is twice BF16 and FP4 at least twice FP8, or the figure is of another kind."""
    for narrow, wide, most in (("fp8", "bf16", 2.0), ("fp4", "fp8", 3.0)):
        if narrow not in peaks or wide not in peaks or "ratio" in row[narrow]:
            continue
        ratio = peaks[narrow].rate.range.typ / peaks[wide].rate.range.typ
        if not 2.0 * 0.95 <= ratio <= most * 1.05:
            raise ChipError(
                f"{narrow} is {ratio:.2f} times {wide}; native units are 2 times as fast (FP4 "
                f"up to 3): mixed up sparse and dense? If it is so, say why in {narrow}.ratio"
            )


def _assumed(value: Range, dimension: str, why: str) -> Quantity:
    return Quantity(value, dimension, "assumed by toprope", "assumed", why)


def _no_others(row: Mapping[str, Any], known: set[str], where: str) -> None:
    for name in row:
        if name not in known:
            known_names = ", ".join(sorted(known))
            raise ChipError(
                f"{where}: {did_you_mean(name, known, f'{name!r} is none of {known_names}')}"
            )

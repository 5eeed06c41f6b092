"""Units: what a data file may write, what it is in base units, and how a range is printed.

Base units are FLOP/s, B, B/s, W, s, J, $, $/h, m and plain numbers. Decimal prefixes are powers
of 1000 (a chip's "80 GB" are 80e9 bytes), `GiB` is 2**30. It must not know what is measured.
"""

from __future__ import annotations

from math import floor, log10

from toprope.plan.ranges import Range
from toprope.terms import TopropeError


class UnitError(TopropeError):
    """A unit that is not known, or not one of what is measured."""


_PREFIX = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18}

UNITS: dict[str, tuple[str, float]] = {
    **{f"{p}FLOP/s": ("FLOP/s", f) for p, f in _PREFIX.items()},
    **{f"{p}OP/s": ("FLOP/s", f) for p, f in _PREFIX.items()},
    **{f"{p}B": ("B", f) for p, f in _PREFIX.items()},
    **{f"{p}B/s": ("B/s", f) for p, f in _PREFIX.items()},
    **{f"{p}bit/s": ("B/s", f / 8) for p, f in _PREFIX.items()},
    **{f"{p}W": ("W", f) for p, f in _PREFIX.items()},
    "GiB": ("B", 2.0**30),
    "GiB/s": ("B/s", 2.0**30),
    "$": ("$", 1.0),
    "$/h": ("$/h", 1.0),
    "$/kWh": ("$/J", 1 / 3.6e6),
    "s": ("s", 1.0),
    "us": ("s", 1e-6),
    "ms": ("s", 1e-3),
    "h": ("s", 3600.0),
    "chip-h": ("s", 3600.0),
    "chips": ("1", 1.0),
    "1": ("1", 1.0),
}


def to_base(unit: str, dimension: str) -> float:
    """Return what one `unit` is in base units. Raises `UnitError` if it measures another thing."""
    fitting = sorted(name for name, (kind, _) in UNITS.items() if kind == dimension)
    if unit not in UNITS or UNITS[unit][0] != dimension:
        raise UnitError(f"unit {unit!r}: write one of {', '.join(fitting)}")
    return UNITS[unit][1]


def told(value: Range | float, dimension: str) -> str:
    """Return a range in words: `2.3 h (1.9-3.1 h)`; a single number stands alone."""
    r = Range.of(value)
    if dimension == "$" and 0 < r.max < 0.01:
        return "less than $0.01"
    scale, unit = _scale(max(abs(r.typ), abs(r.min)) or abs(r.max), dimension)
    middle = number(r.typ / scale)
    low, high = number(r.min / scale), number(r.max / scale)
    if low == high:
        return _with(middle, unit)
    return f"{_with(middle, unit)} ({low}–{high})"


def number(value: float) -> str:
    """Return a number with about three digits and no exponent below a quadrillion."""
    if value == 0:
        return "0"
    if abs(value) >= 1e15 or abs(value) < 1e-4:
        return f"{value:.2e}"
    digits = max(0, 2 - floor(log10(abs(value))))
    text = f"{value:,.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _with(text: str, unit: str) -> str:
    if unit.startswith("$"):
        return f"${text}{unit[1:]}"
    return f"{text} {unit}".rstrip()


_SECONDS = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"), (1e-3, "ms"), (1e-6, "us"))


def _scale(size: float, dimension: str) -> tuple[float, str]:
    if dimension == "s":
        return next(((f, u) for f, u in _SECONDS if size >= 2 * f or f == 1e-6))
    if dimension == "J":
        return (3.6e9, "MWh") if size >= 3.6e9 else (3.6e6, "kWh") if size >= 3.6e4 else (1.0, "J")
    if dimension in ("FLOP/s", "B", "B/s", "W", "FLOP"):
        for prefix in ("E", "P", "T", "G", "M", "k"):
            if size >= _PREFIX[prefix]:
                return _PREFIX[prefix], prefix + dimension
        return 1.0, dimension
    return 1.0, "" if dimension == "1" else dimension

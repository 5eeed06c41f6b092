"""How numbers are written, in the terminal and in the report alike. Pure.

None is a value that was not measured, and is written so, never as 0.
"""

from __future__ import annotations

from collections.abc import Sequence

UNMEASURED = "not measured"
THIN = "\N{NO-BREAK SPACE}"  # between a number and its unit, so that a line never ends there


def percent(rate: float | None, digits: int = 1) -> str:
    """0.1234 as "12.3 %"."""
    return UNMEASURED if rate is None else f"{rate * 100:.{digits}f}{THIN}%"


def interval(bounds: Sequence[float] | None) -> str:
    """[0.05, 0.2] as "5.0–20.0 %"."""
    if bounds is None:
        return UNMEASURED
    return f"{bounds[0] * 100:.1f}–{bounds[1] * 100:.1f}{THIN}%"


def points(difference: float | None) -> str:
    """0.034 as "+3.4 points"."""
    return UNMEASURED if difference is None else f"{difference * 100:+.1f} points"


def points_interval(bounds: Sequence[float]) -> str:
    """[-0.01, 0.034] as "−1.0 to +3.4"."""
    return f"{bounds[0] * 100:+.1f} to {bounds[1] * 100:+.1f}".replace("-", "−")


def count(value: float | None) -> str:
    """1234567 as "1,234,567"."""
    return UNMEASURED if value is None else f"{value:,.0f}"


def short(value: float | None) -> str:
    """1234567 as "1.2 M"; for axes, tokens and FLOPs."""
    if value is None:
        return UNMEASURED
    for size, letter in ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{THIN}{letter}"
    return f"{value:.3g}"


def flop(value: float | None) -> str:
    """3.4e15 as "3.4 PFLOP"."""
    told = short(value)
    return f"{told}FLOP" if told[-1].isalpha() and value else told


def duration(seconds: float | None) -> str:
    """754 as "12 min 34 s"."""
    if seconds is None:
        return UNMEASURED
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def money(dollars: float | None) -> str:
    """0.5 as "$0.50"."""
    return UNMEASURED if dollars is None else f"${dollars:,.2f}"


def of(part: int | None, whole: int) -> str:
    """3 and 12 as "3 of 12 (25 %)"."""
    if part is None or not whole:
        return UNMEASURED
    return f"{part} of {whole} ({part / whole * 100:.0f}{THIN}%)"

"""Small pure pieces of SVG: a frame with scales, axes, marks with a hover text.

Colours are classes of `page.css`, so that light and dark share one drawing. It must not
know what is drawn.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10

WIDTH = 520


@dataclass(frozen=True, slots=True)
class Frame:
    """A plot area in a drawing of `WIDTH` x `height` units, and the data range it shows."""

    height: float
    x: tuple[float, float]
    y: tuple[float, float]
    left: float = 64
    right: float = 14
    top: float = 12
    bottom: float = 34

    def px(self, value: float) -> float:
        """Where a data x lies."""
        low, high = self.x
        share = (value - low) / (high - low) if high > low else 0.5
        return round(self.left + share * (WIDTH - self.left - self.right), 2)

    def py(self, value: float) -> float:
        """Where a data y lies; up is more."""
        low, high = self.y
        share = (value - low) / (high - low) if high > low else 0.0
        return round(self.height - self.bottom - share * (self.height - self.top - self.bottom), 2)


def drawing(height: float, parts: Iterable[str], label: str) -> str:
    """A whole drawing that scales with its column; `label` is read to those who cannot see."""
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {height:g}" role="img" '
        f'aria-label="{escape(label, quote=True)}">{"".join(parts)}</svg>'
    )


def text(x: float, y: float, words: str, kind: str = "tick", anchor: str = "middle") -> str:
    """Words at a place."""
    return (
        f'<text class="{kind}" x="{x:g}" y="{y:g}" text-anchor="{anchor}">'
        f"{escape(words, quote=False)}</text>"
    )


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    """A straight line."""
    return f'<line class="{kind}" x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}"/>'


def dot(x: float, y: float, kind: str, tip: str, radius: float = 4) -> str:
    """A mark that tells its number on hover."""
    told = escape(tip, quote=True)
    return f'<circle class="dot {kind}" cx="{x:g}" cy="{y:g}" r="{radius:g}" data-tip="{told}"/>'


def box(x: float, y: float, width: float, height: float, kind: str, tip: str = "") -> str:
    """A rectangle, telling its number on hover if it has one."""
    told = f' data-tip="{escape(tip, quote=True)}"' if tip else ""
    size = f'width="{max(width, 0):.2f}" height="{max(height, 0):.2f}"'
    return f'<rect class="{kind}" x="{x:.2f}" y="{y:.2f}" {size}{told}/>'


def path(points: Sequence[tuple[float, float]], kind: str, *, closed: bool = False) -> str:
    """A line through points, or the area inside them."""
    if not points:
        return ""
    d = "M" + "L".join(f"{x:g} {y:g}" for x, y in points) + ("Z" if closed else "")
    return f'<path class="{kind}" d="{d}"/>'


def axes(
    frame: Frame, x_ticks: Iterable[float], y_ticks: Iterable[float], *, percent: bool = False
) -> list[str]:
    """Grid lines and tick labels; x in iterations."""
    parts = []
    for value in y_ticks:
        y = frame.py(value)
        parts.append(line(frame.left, y, WIDTH - frame.right, y, "grid"))
        words = f"{value * 100:.3g} %" if percent else f"{value:,.0f}"
        parts.append(text(frame.left - 7, y + 4, words, anchor="end"))
    baseline = frame.height - frame.bottom
    parts.append(line(frame.left, baseline, WIDTH - frame.right, baseline, "axis"))
    parts += [text(frame.px(v), baseline + 18, f"{v:,.0f}") for v in x_ticks]
    return parts


def ticks(low: float, high: float, about: int = 4) -> list[float]:
    """Round numbers that divide a range into about so many steps."""
    if high <= low:
        return [low]
    rough = (high - low) / about
    size = 10 ** floor(log10(rough))
    step = next((m * size for m in (1, 2, 5) if m * size >= rough), 10 * size)
    first = ceil(low / step - 1e-9)
    return [i * step for i in range(first, floor(high / step + 1e-9) + 1)]


def whole_ticks(low: int, high: int, about: int = 6) -> list[float]:
    """The same for iterations: whole numbers only."""
    return sorted({float(round(tick)) for tick in ticks(low, high, about)})


def ceiling(value: float, least: float = 0.1) -> float:
    """The next round number that a rate axis can end at, at most 1."""
    steps = (0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)
    return next((step for step in steps if step >= max(value, least) - 1e-9), 1.0)

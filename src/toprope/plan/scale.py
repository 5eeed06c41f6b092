"""A logarithmic axis over a `Frame`: where a value lies, and round ticks with their words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10

from toprope.drawing.svg import WIDTH, Frame, line, text

_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86400.0
_TIMES = (
    *(0.001, 0.01, 0.1, 1.0, 3.0, 10.0, 30.0),
    *(_MINUTE * n for n in (1, 3, 10, 30)),
    *(_HOUR * n for n in (1, 2, 3, 6, 12)),
    *(_DAY * n for n in (1, 1.5, 2, 3, 4, 6, 8, 12, 20, 30, 50, 80, 120, 200, 365, 1000, 3650)),
)


@dataclass(frozen=True, slots=True)
class LogAxes:
    """A frame whose x, and y if `high_y` says so, are logarithmic."""

    frame: Frame

    @classmethod
    def over(
        cls,
        height: float,
        x: Iterable[float],
        y: Iterable[float] = (1.0, 10.0),
        *,
        left: float = 64,
        bottom: float = 46,
    ) -> LogAxes:
        """Return axes that hold all values, with a little room on every side."""
        ends = []
        for values in (x, y):
            found = [log10(value) for value in values if value > 0]
            low, high = min(found), max(found)
            room = max(0.06 * (high - low), 0.06)
            ends.append((low - room, high + room))
        return cls(Frame(height, ends[0], ends[1], left=left, right=18, bottom=bottom))

    def x(self, value: float) -> float:
        """Where an x lies."""
        return self.frame.px(log10(value))

    def y(self, value: float) -> float:
        """Where a y lies."""
        return self.frame.py(log10(value))

    def x_axis(
        self, words: Callable[[float], str], title: str, ticks: Sequence[float] | None = None
    ) -> list[str]:
        """The x axis with round ticks (or those given), their grid lines and the axis' title."""
        base = self.frame.height - self.frame.bottom
        parts = [line(self.frame.left, base, WIDTH - self.frame.right, base, "axis")]
        for value in round_values(*self.frame.x) if ticks is None else ticks:
            at = self.x(value)
            parts.append(line(at, self.frame.top, at, base, "grid"))
            parts.append(text(at, base + 17, words(value)))
        middle = (self.frame.left + WIDTH - self.frame.right) / 2
        return [*parts, text(middle, base + 37, title)]

    def y_axis(self, words: Callable[[float], str]) -> list[str]:
        """The y axis with round ticks and their grid lines."""
        parts = []
        for value in round_values(*self.frame.y):
            at = self.y(value)
            parts.append(line(self.frame.left, at, WIDTH - self.frame.right, at, "grid"))
            parts.append(text(self.frame.left - 7, at + 4, words(value), anchor="end"))
        return parts


def round_times(low: float, high: float, most: int = 6) -> list[float]:
    """Return round seconds between two powers of ten: minutes, hours and days, not hundreds."""
    found = [time for time in _TIMES if low <= log10(time) <= high]
    stride = -(-len(found) // most)
    return found[::stride] if found else round_values(low, high, most)


def round_values(low: float, high: float, most: int = 6) -> list[float]:
    """Return round numbers between two powers of ten: 1, 2, 5; or only 1; or every few."""
    for steps, stride in (((1, 2, 5), 1), ((1, 3), 1), ((1,), 1), ((1,), 2), ((1,), 3)):
        found = [
            step * 10.0**power
            for power in range(floor(low), ceil(high) + 1)
            if power % stride == 0
            for step in steps
            if low <= log10(step * 10.0**power) <= high
        ]
        if len(found) <= most:
            return found
    return found[:: len(found) // most + 1]

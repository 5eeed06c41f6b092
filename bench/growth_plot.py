"""The pictures of `growth.py` and `growth_training.py`: cost against size, both in powers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil, floor, log10

from toprope.drawing.svg import WIDTH, Frame, dot, line, path, text

_TALL = 330
_COLOURS = ("#3f7fc1", "#b4481e", "#2f9468", "#8d7fb8", "#a15c00", "#5a5f66")
_LOOK = (
    "text{font:12px system-ui,sans-serif;fill:#5b6470}.title{font-weight:650;fill:#8a929c}"
    ".grid{stroke:#8a929c;stroke-opacity:.25}.axis{stroke:#8a929c}.limit{stroke:#b3261e;"
    "stroke-dasharray:5 4}.line{fill:none;stroke-width:2}"
)
Series = Mapping[str, Sequence[tuple[float, float]]]  # by name: (size, cost)


def picture(
    panels: Sequence[tuple[str, Series]],
    limit: float | None = None,
    units: Sequence[str] = (),
) -> str:
    """Return a whole SVG file with the panels below each other.

    `units` are those of each panel's costs, milliseconds if not given; `limit` is a line.
    """
    units = units or ["ms"] * len(panels)
    names = list(dict.fromkeys(name for _, series in panels for name in series))
    style = "".join(
        f".c{at}{{stroke:{colour}}}.dot.c{at}{{fill:{colour}}}text.c{at}{{fill:{colour};stroke:none}}"
        for at, colour in enumerate(_COLOURS)
    )
    drawn = [
        "".join(_panel(*panel, names, limit, unit))
        for panel, unit in zip(panels, units, strict=True)
    ]
    told = "".join(
        f'<g transform="translate(0 {_TALL * at})">{panel}</g>' for at, panel in enumerate(drawn)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH + 90} '
        f'{_TALL * len(panels)}" role="img" aria-label="Cost against size">'
        f"<style>{_LOOK}{style}</style>{told}</svg>\n"
    )


def _panel(
    title: str, series: Series, names: Sequence[str], limit: float | None, unit: str
) -> list[str]:
    xs = [log10(x) for points in series.values() for x, _ in points]
    ys = [log10(y) for points in series.values() for _, y in points]
    ys += [] if limit is None else [log10(limit)]
    frame = Frame(_TALL, (min(xs), max(xs)), (floor(min(ys)), ceil(max(ys))), top=34, bottom=44)
    ground, right = frame.height - frame.bottom, WIDTH - frame.right
    parts = [text(frame.left, 18, title, "title", "start")]
    for power in range(floor(min(ys)), ceil(max(ys)) + 1):
        y = frame.py(power)
        parts += [line(frame.left, y, right, y, "grid")]
        parts += [text(frame.left - 7, y + 4, f"{10.0**power:g} {unit}", anchor="end")]
    parts.append(line(frame.left, ground, right, ground, "axis"))
    for x in _ticks(series):
        parts.append(text(frame.px(log10(x)), ground + 18, f"{x:,.0f}"))
    if limit is not None:
        y = frame.py(log10(limit))
        parts.append(line(frame.left, y, right, y, "limit"))
    for name, points in series.items():
        parts += _curve(frame, points, f"c{names.index(name)}", f"{name} ({unit})")
    return parts + _labels(frame, series, names)


def _ticks(series: Series) -> list[float]:
    """Return the sizes that were measured, or powers of ten where they lie far apart."""
    sizes = sorted({x for points in series.values() for x, _ in points})
    if sizes[-1] < 1000 * sizes[0]:
        return sizes
    powers = range(ceil(log10(sizes[0])), floor(log10(sizes[-1])) + 1)
    return [10.0**power for power in powers]


def _curve(frame: Frame, points: Sequence[tuple[float, float]], kind: str, name: str) -> list[str]:
    places = [(frame.px(log10(x)), frame.py(log10(y))) for x, y in points]
    dots = [
        dot(px, py, kind, f"{name}: {y:.3g} at {x:,.0f}", 3)
        for (px, py), (x, y) in zip(places, points, strict=True)
    ]
    return [path(places, f"line {kind}"), *dots]


def _labels(frame: Frame, series: Series, names: Sequence[str]) -> list[str]:
    """Names at the right ends, pushed apart where they would lie on each other."""
    ends = sorted((frame.py(log10(points[-1][1])), name) for name, points in series.items())
    parts, free = [], 0.0
    for end, name in ends:
        y = max(end + 4, free)
        free = y + 14
        parts.append(text(WIDTH - frame.right + 7, y, name, f"c{names.index(name)}", "start"))
    return parts

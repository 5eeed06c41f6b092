"""Lines for a terminal of 80 columns: tables whose columns stand under each other, wrapped prose.

It must not know what is told.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from textwrap import wrap

WIDTH = 80
# A last column narrower than this goes over the edge instead of being cut into slivers.
_LEAST = 24


def columns(rows: Sequence[Sequence[str]], indent: str = "") -> list[str]:
    """Return rows as lines; the first row is the head, a long last column goes on below itself."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    before = len(indent) + sum(widths[:-1]) + 2 * (len(widths) - 1)
    room = max(_LEAST, WIDTH - before)
    lines = []
    for row in rows:
        *first, last = row
        start = indent + "".join(f"{c.ljust(w)}  " for c, w in zip(first, widths, strict=False))
        told, *more = _cut(last, room) or [""]
        lines.append(f"{start}{told}".rstrip())
        lines += [" " * before + one for one in more]
    return lines


def prose(text: str, first: str = "", later: str | None = None) -> list[str]:
    """Return a text as lines, begun with `first`, gone on under it or with `later`."""
    under = " " * len(first) if later is None else later
    found = _cut(text, WIDTH - len(under))
    return [(first if i == 0 else under) + line for i, line in enumerate(found)]


def listed(title: str, items: Iterable[str]) -> list[str]:
    """Return items under a title and an empty line after them; nothing if there are none."""
    found = [line for item in items for line in prose(item, "  - ")]
    return [title, *found, ""] if found else []


def _cut(text: str, width: int) -> list[str]:
    return wrap(text, width, break_long_words=False, break_on_hyphens=False)

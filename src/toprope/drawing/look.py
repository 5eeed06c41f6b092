"""The style sheet and hover script that every page starts from. Knows nothing that is shown.

What only one page needs stands in that page's own files, after these.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files


@cache
def style() -> str:
    """Return the shared style sheet: colours for light and dark, cards, charts, tables."""
    return _asset("base.css")


@cache
def hover() -> str:
    """Return the script that shows a mark's `data-tip`; it wants an element `#tip`."""
    return _asset("tip.js")


def _asset(name: str) -> str:
    return files("toprope.drawing").joinpath(name).read_text("utf-8")

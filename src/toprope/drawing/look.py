"""The page that reports and plans are told on: its frame, style sheet, cards and legends.

What only one page needs stands in that page's own files, after these. It must not know what is
shown.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from html import escape
from importlib.resources import files
from string import Template


def page(
    *, mark: str, title: str, under: str, main: str, foot: str, css: str = "", js: str = ""
) -> str:
    """Return a self-contained page; `main` and `foot` are HTML, the rest is plain text."""
    return Template(_asset("page.html")).substitute(
        mark=escape(mark),
        title=escape(f"{mark}: {title}"),
        heading=escape(title),
        under=escape(under),
        main=main,
        foot=foot,
        css=_asset("base.css") + css,
        js=_asset("tip.js") + js,
    )


def card(title: str, body: str, lead: str = "") -> str:
    """Return a box with a heading over `body`, which is HTML; `lead` is plain text."""
    told = f'<p class="lead">{escape(lead)}</p>' if lead else ""
    return f'<section class="card"><h2>{escape(title)}</h2>{told}{body}</section>'


def columns(*cards: Iterable[str]) -> str:
    """Return lists of cards side by side, below each other where there is no room."""
    told = "".join(f'<div class="column">{"".join(column)}</div>' for column in cards)
    return f'<div class="cards">{told}</div>'


def legend(entries: Iterable[tuple[str, str]]) -> str:
    """Return what marks mean: pairs of a mark's class and its words."""
    items = "".join(f'<li><i class="{kind}"></i>{escape(words)}</li>' for kind, words in entries)
    return f'<ul class="legend">{items}</ul>'


@cache
def _asset(name: str) -> str:
    return files("toprope.drawing").joinpath(name).read_text("utf-8")

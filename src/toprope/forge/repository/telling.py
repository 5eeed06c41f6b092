"""The problem statement of a bug that tests notice: what one of them says, never the diff."""

from __future__ import annotations

import re

_LONGEST = 1500
_WORKSPACE = re.compile(r"(?:(?:/[\w/]*/toprope-\w+)?/box)?/work/")
_ADDRESS = re.compile(r"\b0x[0-9a-f]{6,}\b")


def tell(test: str, text: str, failing: int) -> str:
    """Return the statement: the name of a failing test and what pytest says about it."""
    said = _ADDRESS.sub("0x...", _WORKSPACE.sub("", text)).strip()
    others = f", and {failing - 1} more" if failing > 1 else ""
    return f"A test fails ({test}{others}). Pytest says:\n\n{_cut(said)}\n\nMend the code."


def _cut(text: str) -> str:
    """Keep whole lines from the end: the assertion is there."""
    if len(text) <= _LONGEST:
        return text
    return "...\n" + text[-_LONGEST:].partition("\n")[2]

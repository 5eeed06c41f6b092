"""Keeps the page small however long a run was: which iterations and windows are drawn.

It must not know what is drawn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

MOST_ITERATIONS, MOST_TASKS, MOST_DEV, MOST_WINDOWS = 400, 600, 100, 120


def thinned(values: Sequence[int], most: int = MOST_ITERATIONS) -> list[int]:
    """Return at most `most` of the values, evenly spread, the first and the last among them."""
    if len(values) <= most:
        return list(values)
    return [values[round(at * (len(values) - 1) / (most - 1))] for at in range(most)]


def merged(
    windows: Sequence[Mapping[str, Any]], most: int = MOST_WINDOWS
) -> list[Mapping[str, Any]]:
    """Return windows put together to at most `most`, each as its window of the highest share."""
    each = -(-len(windows) // most)
    parts = [windows[at : at + each] for at in range(0, len(windows), max(each, 1))]
    return [
        {
            **max(part, key=lambda window: window["share"]),
            "first": part[0]["first"],
            "last": part[-1]["last"],
        }
        for part in parts
    ]

"""The answer to a name nobody knows: the nearest valid one."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches


def plain(name: str) -> str:
    """Return a name without case, spaces and punctuation, to compare names by."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is most like `name`, or None if none is at all alike."""
    by_plain = {plain(one): one for one in known}
    found = get_close_matches(plain(name), by_plain, n=1, cutoff=0.4)
    return by_plain[found[0]] if found else None


def did_you_mean(name: str, known: Iterable[str], where: str) -> str:
    """Return what to do next: the nearest name if there is one, and where all are listed."""
    near = nearest(name, known)
    return f"did you mean {near!r}? {where}" if near else where

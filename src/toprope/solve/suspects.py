"""Which functions a failing test points at: spectrum-based fault localisation.

A function's suspiciousness is Ochiai's coefficient over calls, ef / sqrt(F (ef + ep)), with ef
and ep the failing and passing tests that call it and F all failing ones (Abreu, Zoeteweij and
van Gemund, 2007, "On the accuracy of spectrum-based fault localization"). It must not know
who will edit the function.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from dataclasses import dataclass

from toprope.forge.repository.baseline import Baseline, Place
from toprope.forge.repository.sites import Site, find_sites
from toprope.forge.repository.source import Repository
from toprope.solve.failing import Failing

_FRAME = re.compile(r"^(?:/work/)?([^\s:][^:\n]*\.py):(\d+): ", re.MULTILINE)


@dataclass(frozen=True)
class Suspect:
    """A function that failing tests call. `score` is in (0, 1]; 1: all of these and no others."""

    site: Site
    score: float


def find_suspects(repository: Repository, failing: Failing) -> list[Suspect]:
    """Return the functions that failing tests call, the most suspicious first.

    Equals are told apart by the tracebacks: what stands deeper in one comes first. Functions
    that no short answer can hold (over 120 lines, or not ASCII) are left out.
    """
    callers: dict[Place, list[str]] = defaultdict(list)
    for name in (*failing.red, *failing.green):
        for path, line in failing.calls.get(name, ()):
            callers[path, line].append(name)
    seconds = {name: failing.seconds.get(name, 0.0) for name in (*failing.red, *failing.green)}
    spectrum = Baseline(seconds, {place: tuple(names) for place, names in callers.items()})
    red, depths = set(failing.red), _depths(failing)
    found = [
        Suspect(site, ochiai(len(red.intersection(site.tests)), len(site.tests), len(red)))
        for site in find_sites(repository.tree.files, spectrum)
        if red.intersection(site.tests)
    ]
    return sorted(
        found,
        key=lambda s: (-s.score, -_depth(s.site, depths), s.site.last - s.site.first, s.site.path),
    )


def ochiai(failing: int, calling: int, failed: int) -> float:
    """Return the coefficient: `failing` of the `calling` tests, and of all `failed` ones."""
    return failing / math.sqrt(failed * calling)


def _depths(failing: Failing) -> list[tuple[str, int, int]]:
    """(path, line, depth) of each frame in what pytest said, 1 for a test's own."""
    return [
        (frame[1], int(frame[2]), depth)
        for text in failing.texts.values()
        for depth, frame in enumerate(_FRAME.finditer(text), 1)
    ]


def _depth(site: Site, frames: list[tuple[str, int, int]]) -> int:
    mine = [d for path, line, d in frames if path == site.path and site.first <= line <= site.last]
    return max(mine, default=0)

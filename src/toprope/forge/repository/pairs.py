"""Two bugs at once: pairs of proven ones in different functions, close together first."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

from toprope.forge.chance import chance
from toprope.forge.repository.dealing import By, deal
from toprope.forge.repository.sites import Candidate
from toprope.terms import Task

Pair = tuple[Candidate, Candidate]


def pairs(singles: Mapping[Candidate, Task], by: By, seed: str) -> Iterator[Pair]:
    """Yield pairs of one module and one split, no bug twice, in a seeded order."""
    splits = {task.id: (task.split, task.tier) for task in deal([*singles.values()], by, seed)}
    waiting: dict[tuple[object, ...], list[Candidate]] = defaultdict(list)
    for bug in sorted(singles, key=lambda bug: chance(seed, "pair", bug.key)):
        place = (bug.site.path, *splits[singles[bug].id])
        other = next((w for w in waiting[place] if w.site.name != bug.site.name), None)
        if other is None:
            waiting[place].append(bug)
        else:
            waiting[place].remove(other)
            yield (other, bug) if other.key < bug.key else (bug, other)

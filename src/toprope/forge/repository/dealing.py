"""Deals tasks into splits by what they share: a function, a module, a package, or their date.

Every draw is a hash of the seed and a name, so that another task changes nothing for the
ones that are there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum

from toprope.forge.chance import chance
from toprope.terms import Split, Task, Tier

_DEV, _HELDOUT, _NEAR = 0.05, 0.2, 0.1
_LEAST_FOR_NEAR = 3


class By(StrEnum):
    """What no two splits may share."""

    FUNCTION = "function"
    MODULE = "module"
    PACKAGE = "package"
    DATE = "date"


def deal(tasks: Sequence[Task], by: By, seed: str) -> list[Task]:
    """Return the tasks with their splits; held-out ones with the tier that `by` makes them."""
    if by is By.DATE:
        return _by_place(tasks)
    dealt = [_place(task, by, seed) for task in tasks]
    return _with_near(dealt, seed)


def _place(task: Task, by: By, seed: str) -> Task:
    draw = chance(seed, group(task, by))
    if draw < _HELDOUT:
        tier = Tier.FAR if by is By.PACKAGE else Tier.MID
        return replace(task, split=Split.HELDOUT, tier=tier)
    split = Split.DEV if draw < _HELDOUT + _DEV else Split.TRAIN
    return replace(task, split=split, tier=None)


def group(task: Task, by: By) -> str:
    """The name of what a task shares with others of its split."""
    source = task.source
    if by is By.PACKAGE:
        return source.path.rpartition("/")[0] or source.path
    return source.cluster if by is By.FUNCTION else source.path


def _with_near(tasks: list[Task], seed: str) -> list[Task]:
    """Open some bugs of well-trained functions as `near`: new bugs in known functions."""
    left = Counter(task.source.cluster for task in tasks if task.split is Split.TRAIN)
    dealt = []
    for task in tasks:
        cluster = task.source.cluster
        wanted = task.split is Split.TRAIN and chance(seed, "near", task.id) < _NEAR
        if wanted and left[cluster] >= _LEAST_FOR_NEAR:
            left[cluster] -= 1
            task = replace(task, split=Split.HELDOUT, tier=Tier.NEAR)
        dealt.append(task)
    return dealt


def _by_place(tasks: Sequence[Task]) -> list[Task]:
    """The oldest are trained on, the latest held out: tasks come in the order of their dates."""
    first_dev = round(len(tasks) * (1 - _HELDOUT - _DEV))
    first_held = round(len(tasks) * (1 - _HELDOUT))
    return [
        replace(task, split=Split.HELDOUT, tier=Tier.MID)
        if at >= first_held
        else replace(task, split=Split.DEV if at >= first_dev else Split.TRAIN, tier=None)
        for at, task in enumerate(tasks)
    ]

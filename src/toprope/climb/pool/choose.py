"""Which tasks an iteration draws: from the ledger and a seeded shuffle, nothing else."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Sequence

from toprope.climb.config import ClimbConfig
from toprope.climb.episodes.play import Plan
from toprope.ledger.standings import Span, Standing, longest_waiting
from toprope.tasks import Taskset
from toprope.terms import Split, State, Task, Tier

REVIEW_SHARE = 0.04
REST = 8
_BAITS, _BAIT_DRAWS = 8, 4


def train_batch(
    db: sqlite3.Connection, config: ClimbConfig, iteration: int
) -> tuple[list[Standing], list[Standing]]:
    """Return (tasks to learn from, mastered tasks to review) of an iteration.

    A share `explore` goes to unseen tasks, for breadth; the rest to live ones. Within each,
    those that waited longest come first, ties broken by a seeded shuffle. A live task whose
    newest group was solved whole has no gradient to give (a memorised seed, mostly): it rests
    for `REST` iterations, unless nothing else is left.
    """
    settings, dice = config.climbing, random.Random(f"{config.seed}:{iteration}")
    unseen = longest_waiting(db, State.UNSEEN, settings.tasks, dice)
    explore = min(len(unseen), round(settings.explore * settings.tasks))
    rested = iteration - REST  # what was solved whole before this has rested enough
    ready = [Span(False), Span(True, end=rested)]
    chosen = longest_waiting(db, State.LIVE, settings.tasks - explore, dice, ready)
    chosen += unseen[: settings.tasks - len(chosen)]
    resting = [Span(True, first=rested)]
    chosen += longest_waiting(db, State.LIVE, settings.tasks - len(chosen), dice, resting)
    reviews = dice.random() < REVIEW_SHARE * settings.tasks
    return chosen, longest_waiting(db, State.MASTERED, int(reviews), dice)


def heldout_panel(tasks: Sequence[Task], count: int, seed: int) -> list[Task]:
    """Return `count` held-out tasks drawn evenly over the tiers, new source functions first."""
    held = [t for t in tasks if t.split is Split.HELDOUT and not t.impossible]
    if not count or count >= len(held):
        return held
    order = random.Random(f"{seed}:heldout")
    tiers = [tier for tier in Tier if any(t.tier is tier for t in held)]
    panel: list[Task] = []
    for at, tier in enumerate(tiers):
        mine = [t for t in held if t.tier is tier]
        share = (count - len(panel)) // (len(tiers) - at)
        panel += spread(order.sample(mine, len(mine)))[:share]
    return panel


def bait_plans(taskset: Taskset, seed: int, purpose: str) -> list[Plan]:
    """Return a few draws of a few impossible tasks; none where the taskset has none."""
    chosen = random_part(taskset.impossible, _BAITS, seed, purpose)
    return [Plan(task, purpose, _BAIT_DRAWS) for task in chosen]


def control_size(share: float, cold: int, *, dealt: int = 0, marked: int = 0) -> int:
    """Return how many of newly cold tasks are never seeded, so that the share holds over all.

    `marked` of `dealt` tasks that cold tests found cold before are so already: a few tasks at a
    time would otherwise round to none, always.
    """
    return min(cold, max(0, round(share * (dealt + cold)) - marked))


def spread(tasks: Sequence[Task]) -> list[Task]:
    """Return the tasks with the first of every source function before any second."""
    turns: dict[str, int] = {}
    ranked = []
    for at, task in enumerate(tasks):
        turn = turns.get(task.source.cluster, 0)
        turns[task.source.cluster] = turn + 1
        ranked.append((turn, at))
    return [tasks[at] for _, at in sorted(ranked)]


def random_part(tasks: Sequence[Task], count: int, seed: int, name: str) -> list[Task]:
    """Return a seeded random part of the tasks, in their order."""
    order = random.Random(f"{seed}:{name}")
    picked = set(order.sample(range(len(tasks)), min(count, len(tasks))))
    return [task for at, task in enumerate(tasks) if at in picked]

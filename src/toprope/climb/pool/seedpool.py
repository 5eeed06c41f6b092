"""Which tasks seeds are given to: the cold ones, or, in a control, random or set-aside ones."""

from __future__ import annotations

import random
from collections.abc import Sequence

from toprope.climb.config import ClimbConfig
from toprope.climb.pool.choose import random_part
from toprope.ladder.rung import Cold
from toprope.ledger import queries
from toprope.ledger.store import Ledger
from toprope.terms import Task


def divided(tasks: Sequence[Task], config: ClimbConfig) -> tuple[list[Task], list[Task]]:
    """Return (the pool, the tasks set aside from it): a seeded random part is set aside."""
    aside = random_part(tasks, config.seeding.set_aside, config.seed, "set aside")
    away = {task.id for task in aside}
    return [task for task in tasks if task.id not in away], aside


def seed_pool(tasks: Sequence[Task], config: ClimbConfig, ledger: Ledger) -> list[Cold] | None:
    """Return the tasks that seeds are given to, in a seeded order; None is the cold ones.

    The control that is never seeded is left out, whatever its tasks' states.
    """
    if config.seeding.on == "cold":
        return None
    pool, aside = divided(tasks, config)
    chosen = aside if config.seeding.on == "set_aside" else pool
    control = {row.task_id for row in queries.tasks(ledger.db) if row.never_seeded}
    order = random.Random(f"{config.seed}:seeds on {config.seeding.on}")
    shuffled = order.sample(chosen, len(chosen))
    return [Cold(task, False, 0, 0) for task in shuffled if task.id not in control]

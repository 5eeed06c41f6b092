"""Which training tasks are held back at first, and which of them are the harder ones.

Follows from the taskset and the settings alone. It must not know when the pool grows.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from toprope.climb.config import ClimbConfig
from toprope.climb.pool.choose import random_part
from toprope.climb.pool.seedpool import divided
from toprope.tasks import Taskset
from toprope.terms import Split, Task, TopropeError

UNKNOWN_CHANCE = 1.0


class ReserveError(TopropeError):
    """More tasks are to be held back than can be."""


def held_back(taskset: Taskset, config: ClimbConfig) -> list[Task]:
    """Return the training tasks that wait outside the pool, in the order they would join it.

    A function that a dev or held-out task is of gives none: what is measured there must not
    shift because the pool grows (its tasks that are trained on are so from the start).

    Raises:
        ReserveError: there are not so many, or none would be left to begin with.
    """
    wanted, pool = config.pool.reserve, divided(taskset.split(Split.TRAIN), config)[0]
    if not wanted:
        return []
    measured = {task.source.cluster for task in taskset.tasks if task.split is not Split.TRAIN}
    free = [task for task in pool if task.source.cluster not in measured]
    most = min(len(free), len(pool) - 1)
    if wanted > most:
        raise ReserveError(
            f"pool.reserve is {wanted} but taskset {taskset.name} has {most} training tasks that "
            "can be held back, of functions with no dev or held-out task: lower it"
        )
    if config.pool.held == "hardest":
        return harder_first(free, config.seed)[:wanted]
    return harder_first(random_part(free, wanted, config.seed, "held back"), config.seed)


def harder_first(tasks: Sequence[Task], seed: int) -> list[Task]:
    """Return the tasks, harder ones first, equal ones in a seeded order."""
    shuffled = random.Random(f"{seed}:harder first").sample(tasks, len(tasks))
    return sorted(shuffled, key=difficulty, reverse=True)


def difficulty(task: Task) -> tuple[float, ...]:
    """Return what makes a task harder than another, the weightiest first.

    More bugs, then more files and lines to change, then more lines to look through, then a
    smaller chance of a random inverse edit. What a taskset does not say counts as the least.
    """
    bugs, files, lines = (_number(task, name, 1.0) for name in ("bugs", "files", "lines"))
    context = max(_number(task, name, 0.0) for name in ("function_lines", "n_lines"))
    return bugs, files, lines, context, -_number(task, "mutator_p", UNKNOWN_CHANCE)


def _number(task: Task, name: str, missing: float) -> float:
    value = task.features.get(name)
    return missing if value is None or isinstance(value, str) else float(value)

"""Grows the pool: when few of its tasks still teach, tasks that were held back join it.

Mastered tasks give no gradient, so a student that masters its pool has nothing left to climb
on. When and what is decided from the ledger and the settings alone, and noted in the iteration
that it belongs to: a run that goes on after a kill grows to the same pool.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from toprope.climb.crew import Crew
from toprope.climb.measuring import measure
from toprope.climb.pool.choose import REST, spread
from toprope.grading import Proof
from toprope.ledger import pool
from toprope.ledger.pool import InPool
from toprope.ledger.store import Ledger
from toprope.terms import Task

Prove = Callable[[int, Sequence[Task]], list[tuple[Task, Proof]]]


def grow(crew: Crew, iteration: int, prove: Prove, tell: Callable[[int, str], None]) -> None:
    """Take tasks in where the pool is thin: proven first, then cold-tested like any other.

    One whose proof our own faults prevented stays untried, and is proven when it is met.
    """
    settings = crew.config.pool
    if not settings.grow_below:
        return
    known = pool.joined(crew.ledger.db)
    waited = iteration - max(known.values(), default=0)
    now = pool.in_pool(crew.ledger.db)
    why = why_grow(now, settings.grow_below, waited)
    tasks = next_in_line(crew.ledger, crew.reserve, settings.grow_by) if why else []
    if not tasks:
        return
    tell(iteration, f"the pool grows by {len(tasks)} tasks: {why}")
    crew.ledger.take_in(iteration, [task.id for task in tasks], {"why": why, **now._asdict()})
    proven = [task for task, _ in prove(iteration, tasks)]  # the broken are unseen no more
    if proven:
        measure.cold_test(crew, iteration, proven)


def why_grow(now: InPool, below: float, waited: int) -> str:
    """Return why the pool should grow now, or nothing.

    `waited` are the iterations since it last did, or since the start. A pool of which cold
    tasks are all that is left is the ladder's to help. Some iterations go by, so that what
    joined is met and what is cold is helped before more joins, unless there is neither.
    """
    if not now.able:
        return "" if now.cold else "none of its tasks is untried, live, mastered or cold"
    busy = now.teaching or now.cold
    if now.teaching >= below * now.able or (busy and waited < REST):
        return ""
    return (
        f"{now.teaching} of the {now.able} tasks in it that are untried, live or mastered still "
        f"teach, under {below:.0%}"
    )


def next_in_line(ledger: Ledger, reserve: Sequence[Task], count: int) -> list[Task]:
    """Return the next tasks to join, out of the held-back ones in their order.

    One of every source function comes before any second; functions of which a task is cold or
    parked come last: more of what the student does not reach would not be climbed on.
    """
    known = pool.joined(ledger.db)
    away = pool.functions_out_of_reach(ledger.db)
    left = spread([task for task in reserve if task.id not in known])
    return sorted(left, key=lambda task: task.source.cluster in away)[:count]

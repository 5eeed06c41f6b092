"""What the ledger's quick reads are checked against: whole tables read and sorted in Python."""

from __future__ import annotations

import random
import sqlite3
from typing import NamedTuple

from toprope.climb.pool.choose import REST
from toprope.ledger import queries
from toprope.ledger.queries import PLAIN, VERIFIED
from toprope.ledger.rows import TRAINING_SIDE
from toprope.terms import State


class Look(NamedTuple):
    """A task's newest training-side draws: their iteration, and whether all of them passed."""

    iteration: int
    solved: bool


def states(db: sqlite3.Connection) -> dict[str, State]:
    rows = db.execute("SELECT task_id FROM tasks WHERE split = 'train' ORDER BY ordinal, task_id")
    now = {task_id: State.UNSEEN for (task_id,) in rows}
    now.update({change.task_id: change.after for change in queries.transitions(db)})
    return now


def looks(db: sqlite3.Connection) -> dict[str, Look]:
    marks = ",".join("?" * len(TRAINING_SIDE))
    rows = db.execute(
        f"SELECT task_id, iteration, min(CASE WHEN {PLAIN} THEN {VERIFIED} END) "
        f"FROM evidence WHERE purpose IN ({marks}) "
        "GROUP BY task_id, iteration ORDER BY iteration",
        list(TRAINING_SIDE),
    )
    found: dict[str, Look] = {}
    for task, iteration, solved in rows:
        if solved is None:
            solved = task in found and found[task].solved
        found[task] = Look(iteration, bool(solved))
    return found


def batch(
    db: sqlite3.Connection, wanted: int, explore: float, seed: int, iteration: int
) -> list[str]:
    """The tasks to learn from by the same rule, out of a shuffle of the whole pool."""
    now, looked = states(db), looks(db)
    order = random.Random(f"{seed}:{iteration}")
    shuffled = order.sample(list(now), len(now))
    waiting = sorted(shuffled, key=lambda t: looked[t].iteration if t in looked else -1)
    rested = {t: not look.solved or iteration - look.iteration > REST for t, look in looked.items()}
    live = [t for t in waiting if now[t] is State.LIVE and rested.get(t, True)]
    resting = [t for t in waiting if now[t] is State.LIVE and not rested.get(t, True)]
    unseen = [t for t in waiting if now[t] is State.UNSEEN]
    chosen = live[: wanted - min(len(unseen), round(explore * wanted))]
    return chosen + [*unseen, *resting][: wanted - len(chosen)]

"""Cold and parked tasks as the ladder sees them, read from the ledger and nothing else."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence

from toprope.ladder.partial_credit import credit
from toprope.ladder.rung import Cold, Use
from toprope.ledger import queries
from toprope.ledger.diagnosis import Draw, diagnose
from toprope.ledger.rows import PILOT, STUDENT, TRAINING_SIDE
from toprope.ledger.uses import rung_uses
from toprope.terms import Outcome, State, Task


def cold_tasks(db: sqlite3.Connection, tasks: Sequence[Task]) -> list[Cold]:
    """Return those of the tasks that are cold or parked now, in their order."""
    now = queries.states(db)
    wanted = [t for t in tasks if now.get(t.id) in (State.COLD, State.PARKED)]
    rows = {row.task_id: row for row in queries.tasks(db)}
    looks, draws = _looks(db), newest_draws(db, {task.id for task in wanted})
    uses: dict[str, list[Use]] = {}
    for use in rung_uses(db):
        told = Use(use.rung, use.setting, use.helped_s or 0, use.helped_n or 0)
        uses.setdefault(use.task_id, []).append(told)
    return [
        Cold(
            task=task,
            never_seeded=rows[task.id].never_seeded,
            pilots=len(looks[task.id]) - 1,
            last_look=looks[task.id][-1],
            uses=tuple(uses.get(task.id, [])),
            diagnosis=diagnose(draws.get(task.id, [])),
            shares_differ=_differ(draws.get(task.id, [])),
        )
        for task in wanted
    ]


def newest_draws(db: sqlite3.Connection, task_ids: Collection[str]) -> dict[str, list[Draw]]:
    """Return per task the plain training-side draws at the newest version that has any."""
    marks = ",".join("?" * len(TRAINING_SIDE))
    rows = db.execute(
        "SELECT task_id, version, outcome, tests_passed, tests FROM evidence "
        f"WHERE policy = ? AND mode = 'plain' AND purpose IN ({marks}) "
        "ORDER BY version, iteration, purpose, draw",
        [STUDENT, *TRAINING_SIDE],
    )
    found: dict[str, tuple[int, list[Draw]]] = {}
    for task_id, version, outcome, passed, tests in rows:
        if task_id in task_ids:
            if task_id not in found or found[task_id][0] != version:
                found[task_id] = (version, [])
            found[task_id][1].append(Draw(Outcome(outcome), passed, tests))
    return {task_id: draws for task_id, (_, draws) in found.items()}


def _differ(draws: Sequence[Draw]) -> bool:
    """Return whether partial credit would give these draws unequal rewards."""
    return len({credit(*draw) for draw in draws if draw.outcome is not Outcome.INFRA}) > 1


def _looks(db: sqlite3.Connection) -> dict[str, list[int]]:
    """Return per task the iteration in which it was last found cold, and its pilots since."""
    looks = {
        c.task_id: [c.iteration]
        for c in queries.transitions(db)
        if c.after is State.COLD and c.before is not State.PARKED
    }
    for task_id, iteration in db.execute(
        "SELECT DISTINCT task_id, iteration FROM evidence WHERE purpose = ? ORDER BY iteration",
        [PILOT],
    ):
        if iteration > looks.get(task_id, [iteration])[0]:
            looks[task_id].append(iteration)
    return looks

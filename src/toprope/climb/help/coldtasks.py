"""Cold and parked tasks as the ladder sees them, read from the ledger and nothing else."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence

from toprope.ladder.partial_credit import credit
from toprope.ladder.rung import Cold, Use
from toprope.ledger.diagnosis import Draw, diagnose
from toprope.ledger.rows import PILOT, STUDENT, TRAINING_SIDE
from toprope.ledger.uses import rung_uses
from toprope.terms import Outcome, State, Task

_COLD = f"SELECT task_id FROM standings WHERE state IN ('{State.COLD}', '{State.PARKED}')"


def cold_tasks(db: sqlite3.Connection, tasks: Mapping[str, Task]) -> list[Cold]:
    """Return those of the tasks, given by id, that are cold or parked now, in taskset order.

    Only what the ledger holds of cold and parked tasks is read.
    """
    wanted = db.execute(
        f"SELECT task_id, never_seeded FROM tasks WHERE task_id IN ({_COLD}) "
        "ORDER BY ordinal, task_id"
    ).fetchall()
    looks, draws = _looks(db), newest_draws(db)
    uses: dict[str, list[Use]] = {}
    for use in rung_uses(db):
        told = Use(use.rung, use.setting, use.helped_s or 0, use.helped_n or 0)
        uses.setdefault(use.task_id, []).append(told)
    return [
        Cold(
            task=tasks[task_id],
            never_seeded=bool(never_seeded),
            pilots=len(looks[task_id]) - 1,
            last_look=looks[task_id][-1],
            uses=tuple(uses.get(task_id, [])),
            diagnosis=diagnose(draws.get(task_id, [])),
            shares_differ=_differ(draws.get(task_id, [])),
        )
        for task_id, never_seeded in wanted
        if task_id in tasks
    ]


def newest_draws(db: sqlite3.Connection) -> dict[str, list[Draw]]:
    """Return per cold or parked task its plain training-side draws at the newest version."""
    marks = ",".join("?" * len(TRAINING_SIDE))
    rows = db.execute(
        "SELECT task_id, version, outcome, tests_passed, tests "
        "FROM evidence INDEXED BY evidence_by_task "
        f"WHERE task_id IN ({_COLD}) AND policy = ? AND mode = 'plain' AND purpose IN ({marks}) "
        "ORDER BY version, iteration, purpose, draw",
        [STUDENT, *TRAINING_SIDE],
    )
    found: dict[str, tuple[int, list[Draw]]] = {}
    for task_id, version, outcome, passed, tests in rows:
        if task_id not in found or found[task_id][0] != version:
            found[task_id] = (version, [])
        found[task_id][1].append(Draw(Outcome(outcome), passed, tests))
    return {task_id: draws for task_id, (_, draws) in found.items()}


def _differ(draws: Sequence[Draw]) -> bool:
    """Return whether partial credit would give these draws unequal rewards."""
    return len({credit(*draw) for draw in draws if draw.outcome is not Outcome.INFRA}) > 1


def _looks(db: sqlite3.Connection) -> dict[str, list[int]]:
    """Return per task the iteration in which it was last found cold, and its pilots since."""
    changes = db.execute(
        f"SELECT task_id, iteration FROM transitions WHERE task_id IN ({_COLD}) "
        f"AND after = '{State.COLD}' AND before != '{State.PARKED}' ORDER BY iteration, seq"
    )
    looks = {task_id: [iteration] for task_id, iteration in changes}
    pilots = db.execute(
        "SELECT DISTINCT task_id, iteration FROM evidence INDEXED BY evidence_by_task "
        f"WHERE task_id IN ({_COLD}) AND purpose = ? ORDER BY iteration",
        [PILOT],
    )
    for task_id, iteration in pilots:
        if iteration > looks.get(task_id, [iteration])[0]:
            looks[task_id].append(iteration)
    return looks

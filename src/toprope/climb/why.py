"""Why a task stands where it does, in a sentence: state, evidence, last help, next action.

Reads a run's ledger and settings, and asks the same ladder that the climb asks; it changes
nothing and asks no teacher.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path

from toprope.climb.config import ClimbConfig
from toprope.climb.help.coldtasks import cold_tasks
from toprope.climb.help.helping import ASKED
from toprope.climb.help.rounds import later_round
from toprope.climb.help.rungs import build_ladder
from toprope.climb.pastrun import PastRun
from toprope.climb.pool.seedpool import divided
from toprope.ladder.ladder import DEMONSTRATION, Ladder
from toprope.ladder.rung import Cold, Rung
from toprope.ledger import pool, queries
from toprope.ledger.diagnosis import Diagnosis
from toprope.ledger.rows import NOT_GIVEN, TaskRow
from toprope.ledger.schema import explained, open_for_reading
from toprope.ledger.statistics import clopper_pearson_lower, clopper_pearson_upper
from toprope.ledger.store import LEDGER_NAME
from toprope.ledger.uses import rung_uses
from toprope.tasks import load_taskset
from toprope.terms import Attempt, Split, State, Task

DIAGNOSES = {
    Diagnosis.MALFORMED: "its answers are no actions",
    Diagnosis.NEAR: "its answers pass some of the tests",
    Diagnosis.FAR: "its answers pass none of the tests",
    Diagnosis.INFRA: "failures of ours took its draws",
}
NEXT = {
    State.UNSEEN: "it is drawn when its turn among the untried tasks comes",
    State.BROKEN: "nothing, it is left out: `toprope tasks check` says more",
    State.LIVE: "reinforcement learns from its groups",
    State.MASTERED: "it is reviewed now and then",
}


class _Unasked:
    """Stands for the teacher where only the question is which rung comes next."""

    name, answer_key, parameters, ended = "unasked", False, None, ""

    def attempts(self, task: Task, n: int, start: int = 0) -> list[Attempt]:
        """Never called: deciding whose turn it is asks nobody."""
        raise AssertionError("the next rung was found by asking a teacher")


def why(run: Path, task_id: str) -> str:
    """Return the sentence on a task.

    Raises TopropeError: no run in the folder, its taskset is gone, or no such task in it.
    """
    past = PastRun.open(run)
    path = run / LEDGER_NAME
    with closing(open_for_reading(path)) as db, explained(path):
        task = queries.task(db, task_id)
        if task.split is not Split.TRAIN:
            return f"{task_id} is a {task.split} task: it is measured and never helped or learned."
        parts = [_state(db, task), _evidence(db, task_id), _help(db, task_id)]
        return f"{'; '.join(parts)}; {_next(db, past.config, task)}."


def _state(db: sqlite3.Connection, task: TaskRow) -> str:
    changes = queries.transitions(db, task.task_id)
    told = f"{task.task_id} is unseen"
    if changes:
        since = f"{task.task_id} is {changes[-1].after} since iteration {changes[-1].iteration}"
        told = f"{since} ({changes[-1].reason})"
    joined = pool.joined(db).get(task.task_id)
    return told if joined is None else f"{told}; it joined the pool in iteration {joined}"


def _evidence(db: sqlite3.Connection, task_id: str) -> str:
    chunks = queries.plain_draws(db, task_ids=[task_id]).get(task_id, [])
    if not chunks:
        return "it was never drawn without help"
    newest = [chunk for chunk in chunks if chunk.version == chunks[-1].version]
    passed, drawn = sum(c.successes for c in newest), sum(c.draws for c in newest)
    low, high = clopper_pearson_lower(passed, drawn), clopper_pearson_upper(passed, drawn)
    bounds = f"p ≤ {high:.3f}" if not passed else f"p ≥ {low:.3f}"
    if 0 < passed < drawn:
        bounds += f", p ≤ {high:.3f}"
    return f"{passed} of {drawn} plain draws passed at version {newest[-1].version} ({bounds})"


def _help(db: sqlite3.Connection, task_id: str) -> str:
    uses = rung_uses(db, task_id)
    given = [use for use in uses if use.setting != NOT_GIVEN]
    if not given:
        return "it had no help" + (", for nobody knew its fix" if uses else "")
    last = given[-1]
    told = f"its last help was rung {last.rung} ({last.setting}) in iteration {last.iteration}"
    if last.helped_n is not None:
        told += f", with which {last.helped_s} of {last.helped_n} passed"
    return told


def _next(db: sqlite3.Connection, config: ClimbConfig, task: TaskRow) -> str:
    ended = queries.last_note(db, "end")
    when = "the run has ended, but next would be" if ended else "next"
    if task.task_id in _set_aside(config):
        return "it is set aside from the pool: it may be a seed, and is never drawn"
    if not pool.holds(db, task.task_id):
        return "it is held back, until little of the pool teaches and its turn comes to join"
    state = queries.states(db, [task.task_id])[task.task_id]
    if state in NEXT:
        return f"{when}: {NEXT[state]}"
    tasks = load_taskset(config.taskset).tasks
    (one,) = cold_tasks(db, {t.id: t for t in tasks if t.id == task.task_id})
    asked = queries.last_note(db, ASKED) is not None
    teacher = None if config.teacher.kind == "none" else _Unasked()
    later = partial(later_round, db, config)
    ladder = build_ladder(config, teacher, None, lambda: asked, later=later)
    return f"{DIAGNOSES[one.diagnosis]}; {when}: {_action(ladder, one)}"


def _set_aside(config: ClimbConfig) -> set[str]:
    if not config.seeding.set_aside:
        return set()
    _, aside = divided(load_taskset(config.taskset).split(Split.TRAIN), config)
    return {task.id for task in aside}


def _may_help(rung: Rung, cold: Cold) -> bool:
    dear = rung.number >= DEMONSTRATION
    return dear and rung.suits(cold) and not rung.gave_up(cold)


def _action(ladder: Ladder, one: Cold) -> str:
    look = f"another look from iteration {one.last_look + 2**one.pilots} on"
    if one.never_seeded:
        return f"{look}, and no help: it is the control"
    if not one.pilots:
        return f"{look}, before any help"
    rung = ladder.turn_of(one)
    if rung is None:
        dearest = [r for r in ladder.rungs if _may_help(r, one)]
        rung = next(iter(dearest), None)
    if rung is None:
        return f"{look}, for no allowed rung can help it"
    return f"rung {rung.number}, {rung.name}, in its turn; and {look}"

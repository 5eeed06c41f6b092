"""Proves what an evaluation is about to draw, once in a run, and keeps broken tasks out of it.

A run goes on only with the taskset it began with, so a task's id names its content: what the
ledger notes of a proof holds for every later point and sitting.
"""

from __future__ import annotations

from collections.abc import Sequence

from toprope.climb.crew import Crew
from toprope.grading import admit
from toprope.ledger.admissions import admitted
from toprope.ledger.rows import admission_note
from toprope.terms import Task


def sound(crew: Crew, iteration: int, purpose: str, tasks: Sequence[Task]) -> list[Task]:
    """Return the tasks without the broken ones, after proving those that this run never proved.

    What failures of ours left unproven is drawn, and proven again at the next point.
    """
    known = admitted(crew.ledger.db)
    new = [t for t in tasks if t.id not in known.proven and t.id not in known.broken]
    if new:
        with crew.meters.phase("grade"):
            found = admit(new, crew.player.grader)
        crew.ledger.note(iteration, admission_note(purpose), found.plain())
        known = admitted(crew.ledger.db)
    return [task for task in tasks if task.id not in known.broken]

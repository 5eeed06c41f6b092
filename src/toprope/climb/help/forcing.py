"""Makes a fork's teacher spend its earlier share on the live tasks that are solved least.

The share is a debt that every iteration pays before it samples, from what the ledger holds, so
that a resumed run pays the same. It must not know what the fork compares.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil

from toprope.climb.crew import Crew
from toprope.climb.help import helping
from toprope.ladder.demonstration import Demonstrate
from toprope.ladder.rung import Demonstration, Help
from toprope.ledger.accounts import used_after
from toprope.ledger.queries import TAUGHT, notes
from toprope.ledger.rows import IN_LOSS
from toprope.terms import Attempt, State, Task

NOTE = "forced"  # of an iteration that owed demonstrations: how many, and what came of it


def force(crew: Crew, iteration: int, tell: Callable[[int, str], None]) -> None:
    """Imitate as many demonstrations as the forced share calls for and the teacher has."""
    rung = next((r for r in crew.ladder.rungs if isinstance(r, Demonstrate)), None)
    wanted = _wanted(crew) if crew.config.seeding.forced_share else 0
    if rung is None or wanted <= 0:
        return
    found: list[Demonstration] = []
    asked: list[Attempt] = []
    with crew.meters.phase("teacher"):
        for task in lowest_live(crew):
            if len(found) >= wanted:
                break
            got, attempts = rung.solve(task)
            found += got[:1]
            asked += attempts
    tell(iteration, f"forced: imitating {len(found)} of {wanted} demonstrations")
    # Not by the booked calls: those outlive a kill, and the iteration that asked may not.
    known = {name for _, note in notes(crew.ledger.db, NOTE) for name in note["asked"]}
    new = tuple(attempt for attempt in asked if attempt.id not in known)
    told = {"wanted": wanted, "given": len(found), "asked": [attempt.id for attempt in new]}
    crew.ledger.note(iteration, NOTE, told)
    help_ = Help(rung.number, demonstrations=tuple(found), attempts=new)
    helping.demonstrate(crew, iteration, help_)


def lowest_live(crew: Crew) -> list[Task]:
    """Return the live tasks, those with the lowest newest plain pass rate first.

    Left out are the control that is never seeded, and what was not drawn again since its last
    forced demonstration: its pass rate is not known yet.
    """
    given = dict(
        crew.ledger.db.execute(
            f"SELECT task_id, max(iteration) FROM seeds WHERE iteration > ? AND {TAUGHT} "
            "GROUP BY task_id",
            [crew.config.seeding.forced_after],
        ).fetchall()
    )
    live = crew.ledger.db.execute(
        "SELECT task_id, looked FROM standings JOIN tasks USING (task_id) "
        "WHERE state = ? AND place IS NOT NULL AND NOT never_seeded ORDER BY ordinal, task_id",
        [State.LIVE],
    ).fetchall()
    ready = [task_id for task_id, looked in live if looked >= given.get(task_id, looked)]
    return [crew.by_id[task_id] for task_id in sorted(ready, key=lambda t: _rate(crew, t))]


def _rate(crew: Crew, task_id: str) -> float:
    draws = crew.plain_rate(task_id)
    return draws.successes / draws.draws if draws.draws else 0.0


def _wanted(crew: Crew) -> int:
    """Return how many demonstrations keep the share, the coming step counted as the newest one.

    With s the share, d derived tokens of u used and c coming, x more make (d + x) / (u + c + x)
    equal s. A demonstration is as long as those of the run were; where it had none, a batch.
    """
    settings, db = crew.config.seeding, crew.ledger.db
    derived, used = used_after(db, settings.forced_after)
    newest = db.execute(
        "SELECT trained_tokens FROM meters WHERE phase = 'train' ORDER BY iteration DESC LIMIT 1"
    ).fetchone()
    coming = newest[0] if newest else 0
    share = settings.forced_share
    owed = (share * (used + coming) - derived) / (1 - share)
    (length,) = db.execute(
        f"SELECT avg(tokens) FROM seeds WHERE place = ? AND {TAUGHT}", [IN_LOSS]
    ).fetchone()
    if owed <= 0:
        return 0
    return ceil(owed / length) if length else settings.batch

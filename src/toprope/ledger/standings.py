"""Where every training task stands now, kept beside the rows that it follows from.

A row of `standings` holds a task's state, the iteration of its newest training-side draws (-1
if it has none) and whether those all passed. It is written in the transaction of the rows it
follows from and can be made anew from them (`follow`), so nothing has to read whole tables to
know it. `place` is the task's fixed place among equals, a hash of its id; None is set aside.
It must not know why a task is drawn.
"""

from __future__ import annotations

import hashlib
import random
import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

from toprope.ledger.queries import PLAIN, VERIFIED
from toprope.ledger.rows import TRAINING_SIDE
from toprope.terms import State

NEVER = -1  # the newest look at a task that was never drawn
_ENDLESS = 2**62
_SIDE = ", ".join(f"'{purpose}'" for purpose in TRAINING_SIDE)
_LOOKS = (
    "FROM evidence INDEXED BY evidence_by_task "
    f"WHERE task_id = standings.task_id AND purpose IN ({_SIDE})"
)

REGISTER = f"INSERT OR IGNORE INTO standings VALUES (?, '{State.UNSEEN}', {NEVER}, 0, ?)"
SET_ASIDE = "UPDATE standings SET place = NULL WHERE task_id = ? AND place IS NOT NULL"
TAKE_IN = "UPDATE standings SET place = ? WHERE task_id = ?"
FOLLOW_MOVES = (
    "UPDATE standings SET state = coalesce((SELECT after FROM transitions "
    "WHERE task_id = standings.task_id ORDER BY iteration DESC, seq DESC LIMIT 1), "
    f"'{State.UNSEEN}') WHERE task_id = ?"
)
FOLLOW_DRAWS = (  # a look whose every draw we lost says nothing of ability: the one before does
    "UPDATE standings SET looked = coalesce("
    f"(SELECT iteration {_LOOKS} ORDER BY iteration DESC LIMIT 1), {NEVER}), "
    f"solved = coalesce((SELECT min({VERIFIED}) {_LOOKS} AND {PLAIN} AND iteration = "
    f"(SELECT iteration {_LOOKS} AND {PLAIN} ORDER BY iteration DESC LIMIT 1)), 0) "
    "WHERE task_id = ?"
)
TOUCHED_AFTER = (
    "SELECT task_id FROM transitions WHERE iteration > ? "
    "UNION SELECT task_id FROM evidence WHERE iteration > ?"
)


class Standing(NamedTuple):
    """A task's newest training-side draws: their iteration, and whether all of them passed."""

    task_id: str
    looked: int
    solved: bool


class Span(NamedTuple):
    """The tasks whose newest draws all passed (or did not), last looked at in [first, end)."""

    solved: bool
    first: int = NEVER
    end: int = _ENDLESS


ANY = (Span(False), Span(True))


def place_of(task_id: str) -> int:
    """Return a task's place among equals, in [0, 2^62)."""
    digest = hashlib.blake2b(task_id.encode(), digest_size=8).digest()
    return int.from_bytes(digest) >> 2


def longest_waiting(
    db: sqlite3.Connection, state: State, n: int, dice: random.Random, spans: Sequence[Span] = ANY
) -> list[Standing]:
    """Return up to `n` tasks in a state, those looked at longest ago first, ties shuffled.

    Of more ties than are wanted, each is the next task after a point drawn with `dice` on the
    circle of places: what is read grows with `n` and not with how many tasks there are.
    """
    heads = sorted(row[1] for span in spans for row in _rows(db, state, span, n))[: max(n, 0)]
    if not heads:
        return []
    last = heads[-1]
    whole = [s for span in spans for s in _rows(db, state, span._replace(end=_least(span, last)))]
    found = sorted(whole, key=lambda s: place_of(s.task_id))
    dice.shuffle(found)
    found.sort(key=lambda s: s.looked)
    level = [span._replace(first=last, end=last + 1) for span in spans if _holds(span, last)]
    return found + _some(db, state, level, heads.count(last), dice)


def _least(span: Span, end: int) -> int:
    return min(span.end, end)


def _holds(span: Span, looked: int) -> bool:
    return span.first <= looked < span.end


def _rows(db: sqlite3.Connection, state: State, span: Span, n: int = -1) -> list[Standing]:
    rows = db.execute(
        "SELECT task_id, looked, solved FROM standings INDEXED BY standings_waiting "
        "WHERE state = ? AND solved = ? AND looked >= ? AND looked < ? AND place IS NOT NULL "
        "ORDER BY looked, place, task_id LIMIT ?",
        [state, span.solved, span.first, span.end, n],
    )
    return [Standing(task_id, looked, bool(solved)) for task_id, looked, solved in rows]


def _some(
    db: sqlite3.Connection, state: State, level: Sequence[Span], n: int, dice: random.Random
) -> list[Standing]:
    """Return `n` of the tasks that wait equally long."""
    chosen: dict[str, Standing] = {}
    while len(chosen) < n:
        point = dice.randrange(_ENDLESS)
        after = _around(db, state, level, (point, _ENDLESS), n)
        after += _around(db, state, level, (0, point), n)
        found = next(s for s in after if s.task_id not in chosen)
        chosen[found.task_id] = found
    return list(chosen.values())


def _around(
    db: sqlite3.Connection, state: State, level: Sequence[Span], arc: tuple[int, int], n: int
) -> list[Standing]:
    """Return the first `n` of the tasks whose places lie in an arc, in the order of places."""
    found = []
    for span in level:
        found += db.execute(
            "SELECT place, task_id, looked, solved FROM standings INDEXED BY standings_waiting "
            "WHERE state = ? AND solved = ? AND looked = ? AND place >= ? AND place < ? "
            "ORDER BY place, task_id LIMIT ?",
            [state, span.solved, span.first, *arc, n],
        ).fetchall()
    return [Standing(t, looked, bool(solved)) for _, t, looked, solved in sorted(found)[:n]]

"""What a run's results cost it, from its ledger alone: for `toprope numbers`.

Each number's definition is in `bench/README.md`. One that cannot be said is None, with the
reason; FLOPs and seconds are those of committed iterations, evaluation left out.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from toprope.ledger import accounts, admissions, forgetting, points, queries
from toprope.ledger.queries import PLAIN, VERIFIED
from toprope.ledger.rows import AFTER, AFTER_SEEDING, BEFORE, COLD, STUDENT, TRAINING_SIDE
from toprope.ledger.schema import explained, open_for_reading
from toprope.ledger.store import LEDGER_NAME
from toprope.report.numbers import UNMEASURED
from toprope.terms import Split, State

SOLVED = (State.LIVE, State.MASTERED)
Number = dict[str, Any]


def run_numbers(run_dir: Path | str) -> list[Number]:
    """Return the numbers of a run, each {name, value, unit, why}, some with `ci95` or `ci90`.

    `why` says why a value is None. Raises LedgerError if the folder holds no ledger.
    """
    path = Path(run_dir) / LEDGER_NAME
    with closing(open_for_reading(path)) as db, explained(path):
        return [
            _tokens_per_thaw(db),
            *_cost_per_point(db),
            *_shares_of_score(db),
            *_first_reward(db),
            _made_learnable(db),
            *_cost_per_solved(db),
            *_forgotten(db),
        ]


def numbers_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the numbers as lines for a terminal, the reason where there is none."""
    width = max(len(row["name"]) for row in rows)
    return "\n".join(f"{row['name']:<{width}}  {_told(row)}" for row in rows)


def _told(row: Mapping[str, Any]) -> str:
    if row["value"] is None:
        return f"{UNMEASURED}: {row['why']}"
    share = row["unit"] == "share"
    value = f"{row['value']:.1%}" if share else f"{row['value']:,.4g} {row['unit']}"
    if row.get("ci95"):
        value += f" (95 % interval {row['ci95'][0]:.1%} to {row['ci95'][1]:.1%})"
    if row.get("ci90"):
        value += f" (one-sided 95 % bounds {row['ci90'][0]:.1%} and {row['ci90'][1]:.1%})"
    return value


def _number(name: str, value: float | None, unit: str, why: str = "") -> Number:
    return {"name": name, "value": value, "unit": unit, "why": why if value is None else ""}


def _tokens_per_thaw(db: sqlite3.Connection) -> Number:
    thawed = len(accounts.thaws(queries.transitions(db)))
    query = "SELECT coalesce(sum(prompt_tokens + completion_tokens), 0) FROM teacher_calls"
    tokens = db.execute(query).fetchone()[0] + accounts.tokens_read(db)
    why = "no cold task thawed" if not thawed else "no teacher was asked"
    value = tokens / thawed if thawed and tokens else None
    return _number("teacher tokens per thawed task", value, "tokens", why)


def _cost_per_point(db: sqlite3.Connection) -> list[Number]:
    """What a point of held-out pass rate cost until the last seed, and after it."""
    tasks = admissions.counted(db, Split.HELDOUT)
    split = _seeded_until(db)
    rates = [points.tallies(db, purpose) for purpose in (BEFORE, AFTER_SEEDING, AFTER)]
    found = []
    for name, (before, after), where in (
        ("early", rates[:2], "<="),
        ("late", rates[1:], ">"),
    ):
        gain = (points.gains(before, after, tasks) or {}).get("all")
        why = "held-out was not drawn at both ends" if gain is None else "no gain is shown"
        shown = gain is not None and gain["ci95"][0] > 0 and split is not None
        for unit, (table, column) in {"FLOPs": ("meters", "flops"), "s": ("seconds",) * 2}.items():
            query = (
                f"SELECT coalesce(sum({column}), 0) FROM {table} "
                f"WHERE phase != 'eval' AND iteration {where} ?"
            )
            spent = db.execute(query, [split]).fetchone()[0] if shown else 0.0
            value = spent / (100 * gain["gain"]) if shown and gain else None
            found.append(_number(f"{unit} per held-out point, {name}", value, unit, why))
    return found


def _seeded_until(db: sqlite3.Connection) -> int | None:
    """The last iteration before the first RL step; None if held-out was not opened then."""
    row = db.execute("SELECT min(iteration) FROM meters WHERE phase = 'train'").fetchone()
    opened = db.execute(
        "SELECT max(iteration) FROM evidence WHERE purpose = ?", [AFTER_SEEDING]
    ).fetchone()[0]
    if opened is None:
        return None
    return int(opened) if row[0] is None else min(int(opened), int(row[0]) - 1)


def _shares_of_score(db: sqlite3.Connection) -> list[Number]:
    """The part of the final held-out pass rate that was there, that seeding and that RL brought."""
    tasks = admissions.counted(db, Split.HELDOUT)
    at = [points.tallies(db, purpose) for purpose in (BEFORE, AFTER_SEEDING, AFTER)]
    same = [t for t in tasks if all(t.task_id in p and p[t.task_id].draws for p in at)]
    means = [points.mean_rate(point, same) for point in at]
    before, seeded, after = (m.mean if m else None for m in means)
    names = [f"share of the final score: {who}" for who in ("base", "seeding", "RL")]
    if before is None or seeded is None or not after:
        why = "held-out was not drawn at all three points" if after is None else "the score is 0"
        return [_number(name, None, "share", why) for name in names]
    parts = (before, seeded - before, after - seeded)
    return [_number(n, part / after, "share") for n, part in zip(names, parts, strict=True)]


def _first_reward(db: sqlite3.Connection) -> list[Number]:
    """Seconds and FLOPs up to the end of the iteration with the first verified plain success."""
    marks = ",".join("?" * len(TRAINING_SIDE))
    first = db.execute(
        f"SELECT min(iteration) FROM evidence WHERE purpose IN ({marks}) AND policy = ? "
        f"AND {PLAIN} AND {VERIFIED}",
        [*TRAINING_SIDE, STUDENT],
    ).fetchone()[0]
    why = "no plain draw of a training task passed"
    found = []
    for table, column, unit in (("seconds", "seconds", "s"), ("meters", "flops", "FLOPs")):
        query = f"SELECT sum({column}) FROM {table} WHERE phase != 'eval' AND iteration <= ?"
        value = db.execute(query, [first]).fetchone()[0] if first is not None else None
        found.append(_number(f"{unit} to the first reward", value, unit, why))
    return found


def _made_learnable(db: sqlite3.Connection) -> Number:
    """Of the training tasks that were ever drawn, the share that was ever live."""
    met = queries.met(db)
    alive = {c.task_id for c in queries.transitions(db) if c.after in SOLVED}
    share = points.share_of(alive, met)
    name = "share of the drawn pool ever made learnable"
    found = _number(name, share.mean if share else None, "share", "no training task was drawn")
    return {**found, "ci95": [share.low, share.high]} if share else found


def _cost_per_solved(db: sqlite3.Connection) -> list[Number]:
    """All FLOPs and seconds over the tasks now live that the cold test saw no success of."""
    tested = points.tallies(db, COLD)
    now = queries.states(db, tested)
    solved = sum(now.get(t) in SOLVED and not tally.successes for t, tally in tested.items())
    why = "no task without a success in the cold test is live at the end"
    found = []
    for table, column, unit in (("meters", "flops", "FLOPs"), ("seconds", "seconds", "s")):
        query = f"SELECT coalesce(sum({column}), 0) FROM {table} WHERE phase != 'eval'"
        value = db.execute(query).fetchone()[0] / solved if solved else None
        found.append(_number(f"{unit} per solved task", value, unit, why))
    return found


def _forgotten(db: sqlite3.Connection) -> list[Number]:
    """Next-token accuracy on the forgetting suite: the base's, and what the student has of it."""
    found = forgetting.measured(db) or {}
    why = "no forgetting suite was drawn" if not found else "the base was not drawn on this suite"
    base = _number("forgetting suite, the base", found.get("before"), "share", why)
    change = found.get("difference")
    told = _number("forgetting suite, student - base", change, "share", why)
    bounds = None if change is None else [found["lower95"], found["upper95"]]
    return [base, {**told, "ci90": bounds}]

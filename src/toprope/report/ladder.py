"""What each rung cost and freed, from a run's ledger alone: for `toprope ladder`."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from toprope.ledger import accounts, queries
from toprope.ledger.rows import NOT_GIVEN, PILOT, RungUse
from toprope.ledger.schema import explained, open_for_reading
from toprope.ledger.states import Draws
from toprope.ledger.statistics import clopper_pearson_lower, clopper_pearson_upper
from toprope.ledger.store import LEDGER_NAME
from toprope.ledger.uses import looks_after, rung_uses
from toprope.report.numbers import count, duration, interval, percent

NAMES = {
    "0": "more samples",
    "1": "partial credit",
    "2": "retry with feedback",
    "3": "hint",
    "4": "prefix",
    "5": "take over",
    "6": "demonstration",
    "7": "logits",
}
READING = "7"


def rung_rows(run_dir: Path | str) -> list[dict[str, Any]]:
    """Return a row for every rung that was given, cheapest first; unmeasured values are None.

    A thaw counts for the last rung that the task was given before it; rung 0 has those that
    were given none, and its cost is that of all pilots. Pass rates pool the plain draws of the
    newest look before a task's first use and of the first one after its last use, with the
    exact two-sided 95 % interval of the pooled counts, which leaves out that draws of one task
    are alike. Raises LedgerError if the folder holds no ledger.
    """
    path = Path(run_dir) / LEDGER_NAME
    with closing(open_for_reading(path)) as db, explained(path):
        uses = rung_uses(db)
        looks = looks_after(db, uses)
        thawed = accounts.thaws(queries.transitions(db))
        last = accounts.last_rungs(db)
        freed = {rung: sum(last[t] == rung for t in thawed) for rung in NAMES}
        rows = [_samples(db, freed["0"])] if last else []
        for rung in sorted({use.rung for use in uses}):
            mine = [(u, look) for u, look in zip(uses, looks, strict=True) if u.rung == rung]
            rows.append(_rung(db, rung, mine, freed.get(rung, 0)))
    return rows


def rung_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the rows as a table for a terminal."""
    if not rows:
        return "Nothing was cold, so no rung was given."
    head = (
        "rung", "tasks", "uses", "thawed", "teacher tokens", "in prompts and losses",
        "student tokens", "time", "plain before", "plain after", "teacher tokens a thaw",
    )  # fmt: skip
    cells = [head, *(_cells(row) for row in rows)]
    widths = [max(len(row[at]) for row in cells) for at in range(len(head))]
    lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in cells]
    note = (
        "A thaw counts for the last rung before it. The answer key helped: no claim rests on it."
        if any(row["answer_key"] for row in rows)
        else "A thaw counts for the last rung before it."
    )
    return "\n".join([*(line.rstrip() for line in lines), "", note])


def _rung(
    db: sqlite3.Connection, rung: str, mine: Sequence[tuple[RungUse, Draws | None]], freed: int
) -> dict[str, Any]:
    given = [(use, look) for use, look in mine if use.setting != NOT_GIVEN]
    tasks = {use.task_id for use, _ in given}
    first = {use.task_id: use for use, _ in reversed(given)}
    last = {use.task_id: look for use, look in given}
    timed = [use.seconds for use, _ in given if use.seconds is not None]
    (teacher,) = db.execute(
        "SELECT coalesce(sum(prompt_tokens + completion_tokens), 0) FROM teacher_calls "
        "WHERE rung = ?",
        [rung],
    ).fetchone()
    if rung == READING:  # it asks for nothing: the teacher reads what the student wrote
        teacher += accounts.tokens_read(db)
    taught = f"SELECT kind, sum(tokens) FROM seeds WHERE rung = ? AND {queries.TAUGHT}"
    derived = dict(db.execute(f"{taught} GROUP BY kind", [rung]).fetchall())
    return _row(
        rung,
        tasks=len(tasks),
        uses=len(given),
        nothing_to_give=len({use.task_id for use, _ in mine} - tasks),
        thawed=freed,
        teacher_tokens=teacher,
        derived_tokens=sum(derived.values()),
        student_tokens=sum(use.student_tokens for use, _ in given),
        seconds=sum(timed) if timed else None,
        plain_before=_rate([Draws(0, use.before_s, use.before_n) for use in first.values()]),
        plain_after=_rate([look for look in last.values() if look is not None]),
        teacher_tokens_per_thaw=teacher / freed if freed else None,
        derived_tokens_per_thaw=sum(derived.values()) / freed if freed else None,
        answer_key="reference" in derived,
    )


def _samples(db: sqlite3.Connection, freed: int) -> dict[str, Any]:
    """Return rung 0's row: its uses are the pilots, which are rows of evidence."""
    tasks, uses, tokens = db.execute(
        "SELECT count(DISTINCT task_id), count(DISTINCT task_id || '/' || iteration), "
        "coalesce(sum(sampled_tokens), 0) FROM evidence WHERE purpose = ?",
        [PILOT],
    ).fetchone()
    return _row("0", tasks=tasks, uses=uses, thawed=freed, student_tokens=tokens)


def _row(rung: str, **values: Any) -> dict[str, Any]:
    """Return a row: what is not given was not used, or where that cannot be said not measured."""
    row: dict[str, Any] = {"rung": rung, "name": NAMES.get(rung, "")}
    row |= dict.fromkeys(("tasks", "uses", "nothing_to_give", "thawed"), 0)
    row |= dict.fromkeys(("teacher_tokens", "derived_tokens", "student_tokens"), 0)
    row |= dict.fromkeys(("seconds", "plain_before", "plain_after"))
    row |= dict.fromkeys(("teacher_tokens_per_thaw", "derived_tokens_per_thaw"))
    return {**row, "answer_key": False, **values}


def _rate(looks: Sequence[Draws]) -> dict[str, Any] | None:
    passed, drawn = sum(d.successes for d in looks), sum(d.draws for d in looks)
    if not drawn:
        return None
    low = clopper_pearson_lower(passed, drawn, 0.025)
    high = clopper_pearson_upper(passed, drawn, 0.025)
    return {"passed": passed, "draws": drawn, "rate": passed / drawn, "ci95": [low, high]}


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    each = row["teacher_tokens_per_thaw"]
    return (
        f"{row['rung']} {row['name']}",
        count(row["tasks"]),
        count(row["uses"]),
        count(row["thawed"]),
        count(row["teacher_tokens"]),
        count(row["derived_tokens"]),
        count(row["student_tokens"]),
        "–" if row["seconds"] is None else duration(row["seconds"]),
        _told(row["plain_before"]),
        _told(row["plain_after"]),
        "–" if each is None else count(round(each)),
    )


def _told(rate: Mapping[str, Any] | None) -> str:
    return "–" if rate is None else f"{percent(rate['rate'])} ({interval(rate['ci95'])})"

"""Whether the teacher has become unnecessary: each criterion with its numbers and its reason.

Reads through an open connection; what the teacher itself solves is handed over as plain
counts. A criterion is True (met), False (not met) or None (not measured), and never True
without the numbers that carry it.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Mapping
from typing import Any, NamedTuple

from toprope.ledger import admissions, forgetting, fork, queries
from toprope.ledger.accounts import teacher_windows
from toprope.ledger.points import tallies
from toprope.ledger.rows import AFTER, REVIEW, dev_purpose
from toprope.ledger.statistics import (
    Estimate,
    clopper_pearson_lower,
    clopper_pearson_upper,
    paired_cluster_bootstrap,
)
from toprope.terms import Split, State

WINDOWS = 3
MOST_OUT_OF_REACH = 0.05
FEWEST_SOLVED = 59  # with none out of reach, the fewest whose exact upper bound is below .05
INFERIOR = 0.05
REVIEWED = 0.8
OUT_OF_REACH = (State.COLD, State.PARKED, State.UNSEEN)
ONE_SIDED = 0.9  # the two-sided level whose lower end is a one-sided 95 % bound
_DEV = re.compile(re.escape(dev_purpose(0)).removesuffix("0") + r"(\d+)")

Known = Mapping[str, tuple[int, int]]  # by task, the teacher's (passed, tried) attempts


class Criterion(NamedTuple):
    """One judgement: met or not (None: not measured), in words why, and on which numbers."""

    met: bool | None
    why: str
    numbers: dict[str, Any]


def judge(db: sqlite3.Connection, window: int, known: Known | None) -> dict[str, Any]:
    """Return {graduated, criteria, reasons, numbers, past_teacher} as of the open iteration.

    `known` holds the teacher's own attempts by task, of whatever split; None where it cannot
    be said. One criterion that is not met or not measured is enough not to graduate.
    """
    found = {
        "teacher_quiet_because_nothing_cold": _quiet(db, window),
        "nothing_teacher_solves_out_of_reach": _within_reach(db, known),
        "not_inferior_to_teacher": _not_inferior(db, window, known),
        "no_regression": _no_regression(db),
        "no_forgetting": _no_forgetting(db),
        "fork": _fork(db),
    }
    return {
        "graduated": all(c.met is True for c in found.values()),
        "criteria": {name: c.met for name, c in found.items()},
        "reasons": {name: c.why for name, c in found.items()},
        "numbers": {name: c.numbers for name, c in found.items()},
        "past_teacher": _past_teacher(db, known),
    }


def with_fork(judgement: Mapping[str, Any], db: sqlite3.Connection) -> dict[str, Any]:
    """Return a judgement as it stands with the fork that was made of the run since, if any."""
    criteria = judgement.get("criteria")
    if not criteria or fork.FACT not in queries.keyed(db, "facts"):
        return dict(judgement)
    found = _fork(db)
    criteria = {**criteria, "fork": found.met}
    return {
        **judgement,
        "graduated": all(met is True for met in criteria.values()),
        "criteria": criteria,
        "reasons": {**(judgement.get("reasons") or {}), "fork": found.why},
        "numbers": {**(judgement.get("numbers") or {}), "fork": found.numbers},
    }


def _fork(db: sqlite3.Connection) -> Criterion:
    """Whether a teacher forced to its earlier share would still have brought something."""
    found = queries.keyed(db, "facts").get(fork.FACT)
    if found is None:
        return Criterion(None, "no fork of this run with a forced teacher was compared", {})
    last = queries.last_commit(db)
    if last is None or found["version"] != last.version:
        now = "none" if last is None else last.version
        why = f"the fork was made of policy version {found['version']}, the run has {now}"
        return Criterion(None, why, found)
    if found["upper95"] is None:
        return Criterion(None, found["why"], found)
    return Criterion(found["upper95"] < fork.MOST_GAIN, found["why"], found)


def _quiet(db: sqlite3.Connection, window: int) -> Criterion:
    newest = teacher_windows(db, window)[-WINDOWS:]
    told = [{key: w[key] for key in ("first", "last", "share", "reason")} for w in newest]
    spoken = ", ".join(
        f"share {w['share']:.2f}" if w["share"] else str(w["reason"]) for w in newest
    )
    met = len(newest) == WINDOWS and all(
        w["share"] == 0 and w["reason"] == "nothing_cold" for w in newest
    )
    if len(newest) < WINDOWS:
        return Criterion(met, f"{len(newest)} of {WINDOWS} windows were run", {"windows": told})
    return Criterion(met, f"the last {WINDOWS} windows: {spoken}", {"windows": told})


def _within_reach(db: sqlite3.Connection, known: Known | None) -> Criterion:
    """Of the training tasks that the teacher solves, the share that the student does not reach."""
    if known is None:
        return Criterion(None, "what the teacher itself solves is not known", {})
    states = queries.states(db)
    solved = [task for task, (passed, _) in known.items() if passed and task in states]
    away = sum(states[task] in OUT_OF_REACH for task in solved)
    upper = clopper_pearson_upper(away, len(solved)) if solved else None
    numbers = {"teacher_solves": len(solved), "out_of_reach": away, "upper95": upper}
    if upper is None:
        return Criterion(None, "the teacher is known to solve no training task", numbers)
    told = (
        f"{away} of {len(solved)} training tasks that the teacher solves are cold, parked or "
        f"unseen, at most {upper:.1%} at 95 %"
    )
    if upper < MOST_OUT_OF_REACH:
        return Criterion(True, told, numbers)
    if len(solved) < FEWEST_SOLVED:
        return Criterion(None, f"{told}; {FEWEST_SOLVED} such tasks are needed", numbers)
    return Criterion(False, f"{told}; below {MOST_OUT_OF_REACH:.0%} is asked", numbers)


def _not_inferior(db: sqlite3.Connection, window: int, known: Known | None) -> Criterion:
    """On dev, in each of the last windows, student minus teacher on the same tasks."""
    if known is None:
        return Criterion(None, "what the teacher itself solves is not known", {})
    numbers: list[dict[str, Any]] = []
    for iteration in _newest_dev(db, window):
        difference = _to_teacher(db, dev_purpose(iteration), Split.DEV, known, ONE_SIDED)
        if difference is None:
            return Criterion(None, "no dev task has attempts of the teacher", {})
        numbers.append(
            {
                "iteration": iteration,
                "difference": difference.mean,
                "lower95": difference.low,
                "tasks": difference.values,
            }
        )
    if len(numbers) < WINDOWS:
        why = f"dev was drawn in {len(numbers)} of the last {WINDOWS} windows"
        return Criterion(None, why, {"windows": numbers})
    worst = min(row["lower95"] for row in numbers)
    why = f"student - teacher on dev has lower bounds from {100 * worst:+.1f} points up"
    return Criterion(worst > -INFERIOR, f"{why}; above -5 is asked", {"windows": numbers})


def _newest_dev(db: sqlite3.Connection, window: int) -> list[int]:
    """The newest dev measurement of each of the last windows, oldest first."""
    query = "SELECT min(iteration), max(iteration) FROM commits"
    first, last = db.execute(query).fetchone()
    if last is None:
        return []
    wanted = range(last - (last - first) % window, first - 1, -window)[:WINDOWS]
    drawn = [
        int(match[1])
        for (purpose,) in db.execute("SELECT DISTINCT purpose FROM evidence")
        if (match := _DEV.fullmatch(purpose))
    ]
    newest = [max((i for i in drawn if at <= i < at + window), default=-1) for at in wanted]
    return sorted(i for i in newest if i >= 0)


def _no_regression(db: sqlite3.Connection) -> Criterion:
    """Whether the pooled review of mastered tasks has a lower bound above .8."""
    chunks = [d for row in queries.plain_draws(db, purposes=[REVIEW]).values() for d in row]
    drawn, passed = sum(c.draws for c in chunks), sum(c.successes for c in chunks)
    if not drawn:
        return Criterion(None, "no mastered task was reviewed", {"draws": 0})
    lower = clopper_pearson_lower(passed, drawn)
    told = f"{passed} of {drawn} review draws passed, at least {lower:.1%} at 95 %"
    why = f"{told}; above {REVIEWED:.0%} is asked"
    numbers = {"draws": drawn, "passed": passed, "lower95": lower}
    return Criterion(lower > REVIEWED, why, numbers)


def _no_forgetting(db: sqlite3.Connection) -> Criterion:
    """Whether the fixed texts are foreseen as well as by the frozen base, but for .02."""
    found, last = forgetting.measured(db), queries.last_commit(db)
    met, why = forgetting.judge(found, last.version if last else None)
    numbers = ("difference", "lower95", "upper95", "before", "after", "texts", "tokens")
    return Criterion(met, why, {key: found[key] for key in numbers} if found else {})


def _past_teacher(db: sqlite3.Connection, known: Known | None) -> dict[str, Any]:
    """Student minus teacher on the held-out tasks at the end, or why it cannot be said."""
    if known is None:
        return {"difference": None, "why": "the teacher's own pass rate is not known"}
    estimate = _to_teacher(db, AFTER, Split.HELDOUT, known, 0.95)
    if estimate is None:
        why = "the teacher's attempts that are known are at no held-out task that was drawn"
        return {"difference": None, "why": why}
    return {
        "difference": estimate.mean,
        "ci95": [estimate.low, estimate.high],
        "tasks": estimate.values,
        "clusters": estimate.clusters,
    }


def _to_teacher(
    db: sqlite3.Connection, purpose: str, split: Split, known: Known, level: float
) -> Estimate | None:
    drawn = tallies(db, purpose)
    both = [
        task
        for task in admissions.counted(db, split)
        if task.task_id in drawn
        and drawn[task.task_id].draws
        and known.get(task.task_id, (0, 0))[1]
    ]
    if not both:
        return None
    return paired_cluster_bootstrap(
        {t.task_id: known[t.task_id][0] / known[t.task_id][1] for t in both},
        {t.task_id: drawn[t.task_id].rate for t in both},
        {t.task_id: t.cluster for t in both},
        level=level,
    )

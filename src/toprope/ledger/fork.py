"""What a fork showed: one checkpoint continued without a teacher and with one that was forced.

Reads the ledgers of the two branches and returns plain values. It must not know how the
branches were run.
"""

from __future__ import annotations

import sqlite3
from statistics import NormalDist
from typing import Any

from toprope.ledger import admissions, queries
from toprope.ledger.accounts import used_after
from toprope.ledger.points import Tally, tallies
from toprope.ledger.rows import AFTER
from toprope.ledger.statistics import Estimate, paired_cluster_bootstrap
from toprope.terms import Split

FACT = "fork"  # under which a run's ledger keeps what its fork showed
MOST_GAIN = 0.03  # held-out pass rate, as a share of 1
LEAST_GIVEN = 0.8  # of the earlier share: with less, the teacher was not really forced
_ONE_SIDED = 0.9  # the two-sided level whose upper end is a one-sided 95 % bound
_POWER = 0.8
_ROUNDING = 1e-9  # of sums of floats in another order


def student_flops(db: sqlite3.Connection, *, after: int = -1) -> float:
    """Return the student's FLOPs outside evaluation in the iterations after one."""
    query = (
        "SELECT coalesce(sum(flops), 0) FROM meters "
        "WHERE phase NOT IN ('eval', 'teacher') AND iteration > ?"
    )
    return float(db.execute(query, [after]).fetchone()[0])


def branch(db: sqlite3.Connection, after: int) -> dict[str, Any]:
    """Return how a branch went since the fork: FLOPs, the teacher's tokens and share, its end."""
    derived, used = used_after(db, after)
    facts = queries.keyed(db, "facts")
    return {
        "status": facts.get("status"),
        "stop_reason": facts.get("stop_reason"),
        "flops": student_flops(db, after=after),
        "teacher_tokens": derived,
        "teacher_share": derived / used if used else None,
    }


def compare(
    without: sqlite3.Connection,
    forced: sqlite3.Connection,
    *,
    after: int,
    share: float,
    flops: float,
) -> dict[str, Any]:
    """Return the forced branch minus the other on held-out, or why it cannot be said.

    `share` is the teacher's earlier one and `flops` what each branch was given since iteration
    `after`. `upper95` is one-sided; it and `difference` are None where nothing was measured.
    """
    branches = {"without": branch(without, after), "with": branch(forced, after)}
    told: dict[str, Any] = {**branches, "difference": None, "upper95": None}
    told |= {"smallest_effect": None, "tasks": 0, "clusters": 0}
    if why := _not_measured(branches, share, flops):
        return {**told, "why": why}
    found = _difference(without, forced)
    if found is None:
        return {**told, "why": "the fork's branches share no held-out task that was drawn"}
    effect = smallest_effect(found)
    why = (
        f"a teacher forced to {branches['with']['teacher_share']:.1%} of what was learned from "
        f"(earlier {share:.1%}) changes held-out by {100 * found.mean:+.1f} points, at most "
        f"{100 * found.high:+.1f} at 95 %; below {100 * MOST_GAIN:+.0f} is asked; the smallest "
        f"effect it could have seen is {100 * effect:.1f} points"
    )
    return {
        **told,
        "difference": found.mean,
        "upper95": found.high,
        "smallest_effect": effect,
        "tasks": found.values,
        "clusters": found.clusters,
        "why": why,
    }


def smallest_effect(found: Estimate) -> float:
    """Return the true difference that four of five such forks would call above 0.

    The minimum detectable effect of a one-sided 5 % test at power .8, (z95 + z80) standard
    errors (Bloom 1995, Evaluation Review 19:547), the error from the interval's width. Never
    more than 1, the largest difference there is.
    """
    normal = NormalDist()
    z95, z80 = normal.inv_cdf(0.95), normal.inv_cdf(_POWER)
    error = (found.high - found.low) / (2 * z95)
    return min(1.0, (z95 + z80) * error)


def _not_measured(branches: dict[str, dict[str, Any]], share: float, flops: float) -> str:
    """Return why the branches cannot be compared, or nothing where they can."""
    for name, told in branches.items():
        if told["status"] != "finished":
            return f"the fork's branch {name} the teacher is not finished"
        if told["flops"] < flops * (1 - _ROUNDING):
            return (
                f"the fork's branch {name} the teacher ended before its FLOPs were used: "
                f"{told['stop_reason']}"
            )
    given = branches["with"]["teacher_share"] or 0.0
    if given < LEAST_GIVEN * share:
        return (
            f"the fork's teacher gave {given:.1%} of what was learned from and not its earlier "
            f"{share:.1%}: it has nothing verified for more of the live tasks, or no budget left"
        )
    return ""


def _difference(without: sqlite3.Connection, forced: sqlite3.Connection) -> Estimate | None:
    left, right = _drawn(without), _drawn(forced)
    clusters = {t.task_id: t.cluster for t in admissions.counted(forced, Split.HELDOUT)}
    both = [task for task in clusters if task in left and task in right]
    if not both:
        return None
    return paired_cluster_bootstrap(
        {task: left[task].rate for task in both},
        {task: right[task].rate for task in both},
        clusters,
        level=_ONE_SIDED,
    )


def _drawn(db: sqlite3.Connection) -> dict[str, Tally]:
    return {task: tally for task, tally in tallies(db, AFTER).items() if tally.draws}

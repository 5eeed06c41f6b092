"""The sections of the summary that count: cold start, thaws, teacher, compute, integrity.

Reads through an open connection and returns plain values. What was not measured is None.
"""

from __future__ import annotations

import sqlite3
from bisect import bisect_right
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from toprope.ledger import admissions, pool, queries
from toprope.ledger.points import share_of, tallies
from toprope.ledger.rows import (
    AFTER,
    AFTER_SEEDING,
    BASE,
    BEFORE,
    COLD,
    FROZEN_BASE,
    GRANTED,
    IN_LOSS,
    IN_PROMPT,
    NOT_GIVEN,
    StateChange,
    TaskRow,
    impossible_note,
)
from toprope.ledger.states import has_thawed
from toprope.ledger.statistics import zero_success_power
from toprope.terms import State

DEFAULT_WINDOW = 5
TRANSFER, DEMONSTRATED = "0", "6"


def cold_start(
    db: sqlite3.Connection, tasks: Sequence[TaskRow], planned: int | None = None
) -> dict[str, Any]:
    """The cold test: its interval, its power, and the same with the protocol granted.

    `planned` draws without a success make a task cold; None takes the most that one got.
    A task that infrastructure left with fewer and no success is `undecided`, not tested.
    """
    later = pool.joined(db)  # their cold tests are no part of the start
    found = {t: tally for t, tally in tallies(db, COLD).items() if t not in later}
    draws = planned or max((tally.draws for tally in found.values()), default=0)
    live = {task_id for task_id, tally in found.items() if tally.successes}
    cold = {task_id for task_id, tally in found.items() if 0 < draws <= tally.draws} - live
    tested = [task for task in tasks if task.task_id in live | cold]
    share = share_of(cold, tested)
    granted = [t for t in tallies(db, GRANTED, mode="granted").values() if t.draws]
    return {
        "tested": len(tested),
        "draws": draws if tested else None,
        "cold": len(cold) if tested else None,
        "undecided": len(found) - len(tested) if found else None,
        "share": share.mean if share else None,
        "ci95": [share.low, share.high] if share else None,
        "power_at_05": zero_success_power(0.05, draws) if tested else None,
        "protocol_granted_live": sum(t.successes > 0 for t in granted) if granted else None,
        "protocol_granted_tested": len(granted),
        "diagnosis": queries.last_note(db, "diagnosis"),
    }


def first_cold(changes: Sequence[StateChange]) -> dict[str, int]:
    """The tasks found cold at first, and the iteration of it."""
    return {
        c.task_id: c.iteration
        for c in changes
        if c.before is State.UNSEEN and c.after is State.COLD
    }


def thaws(changes: Sequence[StateChange]) -> dict[str, int]:
    """Of the tasks found cold at first, those that thawed, and the iteration of the first thaw."""
    cold, found = first_cold(changes), dict[str, int]()
    for c in changes:
        if c.task_id in cold and c.before in (State.COLD, State.PARKED) and c.after is State.LIVE:
            found.setdefault(c.task_id, c.iteration)
    return found


def thawed(db: sqlite3.Connection, tasks: Sequence[TaskRow]) -> dict[str, Any]:
    """Thaws beside both controls, without the tasks that a granted protocol makes live.

    The interval of each share is over source functions, as of every other pool of tasks.
    """
    changes = queries.transitions(db)
    cold, found = first_cold(changes), thaws(changes)
    granted = {t for t, tally in tallies(db, GRANTED, mode="granted").items() if tally.successes}
    control = {t.task_id for t in tasks if t.never_seeded} & set(cold)
    counted = _share(set(found) - granted, cold, tasks)
    return {
        "count": counted["thawed"] if counted else None,
        "of_cold": len(cold),
        "ci95": counted["ci95"] if counted else None,
        "excluded_protocol_granted": len(set(found) & granted),
        "unseeded_control": _share(set(found), control, tasks),
        "frozen_base": _frozen_base(db, cold, tasks),
        "by_rung": _by_rung(db, found),
    }


def _frozen_base(
    db: sqlite3.Connection, cold: Collection[str], tasks: Sequence[TaskRow]
) -> dict[str, Any] | None:
    drawn = queries.plain_draws(db, purposes=[FROZEN_BASE], policy=BASE)
    found = {task for task, chunks in drawn.items() if has_thawed(chunks)}
    return _share(found, set(cold) & set(drawn), tasks)


def _share(
    found: Collection[str], pool: Collection[str], tasks: Sequence[TaskRow]
) -> dict[str, Any] | None:
    """How many of a pool of tasks thawed, with the cluster interval; None of an empty pool."""
    mine = [task for task in tasks if task.task_id in pool]
    share = share_of(set(found), mine)
    if share is None:
        return None
    thawed = sum(task.task_id in found for task in mine)
    return {"thawed": thawed, "of": len(mine), "ci95": [share.low, share.high]}


def last_rungs(db: sqlite3.Connection) -> dict[str, str]:
    """Return each once cold task's last rung before it thawed; rung 0, transfer, if it had none."""
    changes = queries.transitions(db)
    cold, found = first_cold(changes), thaws(changes)
    given = dict.fromkeys(cold, TRANSFER)
    uses = db.execute(
        "SELECT task_id, rung, iteration FROM rung_uses WHERE setting != ? "
        "ORDER BY iteration, rung",
        [NOT_GIVEN],
    )
    for task_id, rung, iteration in uses:
        if task_id in cold and iteration <= found.get(task_id, iteration):
            given[task_id] = rung
    return given


def _by_rung(db: sqlite3.Connection, found: Collection[str]) -> dict[str, dict[str, int]]:
    """How many cold tasks each rung was the last one for, and how many of these thawed."""
    counts: dict[str, dict[str, int]] = {}
    for task_id, rung in sorted(last_rungs(db).items(), key=lambda item: (item[1], item[0])):
        row = counts.setdefault(rung, {"given": 0, "thawed": 0})
        row["given"] += 1
        row["thawed"] += task_id in found
    return counts


def teacher(
    db: sqlite3.Connection, name: Any, window: int, *, priced: bool = True
) -> dict[str, Any]:
    """What the teacher was asked, what it cost, and how much of the learning was its own.

    Tokens are those of its attempts, and those that it read for its distributions.
    What it cost is None where no price was known (`priced`) and anything was asked.
    """
    calls, tokens, cost = db.execute(
        "SELECT count(*), coalesce(sum(prompt_tokens + completion_tokens), 0), "
        "coalesce(sum(cost_usd), 0.0) FROM teacher_calls"
    ).fetchone()
    read = tokens_read(db)
    windows = teacher_windows(db, window)
    last = db.execute(f"SELECT max(iteration) FROM seeds WHERE {queries.TAUGHT}").fetchone()[0]
    return {
        "name": name,
        "calls": calls,
        "tokens": tokens + read,
        "cost_usd": cost if priced or not calls else None,
        "share_by_window": windows,
        "quiet_reason": windows[-1]["reason"] if windows else None,
        "last_used_iteration": last,
        "rounds": _rounds(db),
    }


def _rounds(db: sqlite3.Connection) -> int:
    """In how many iterations demonstrations were imitated."""
    query = f"SELECT count(DISTINCT iteration) FROM seeds WHERE rung = ? AND {queries.TAUGHT}"
    return int(db.execute(query, [DEMONSTRATED]).fetchone()[0])


def tokens_read(db: sqlite3.Connection) -> int:
    """How many tokens a white-box teacher had read for its distributions by the last commit."""
    query = "SELECT coalesce(sum(processed_tokens), 0) FROM meters WHERE phase = 'teacher'"
    return int(db.execute(query).fetchone()[0])


def teacher_windows(db: sqlite3.Connection, window: int) -> list[dict[str, Any]]:
    """Teacher share per window: teacher- or reference-derived tokens over all tokens used.

    Tokens used are those a loss was taken on, and the derived ones outside of a loss.
    A window with share 0 gives the newest reason noted under "quiet" up to its end, unless the
    teacher was used after that: the last window may be the closing measurement alone.
    """
    commits = [row[0] for row in db.execute("SELECT iteration FROM commits ORDER BY iteration")]
    if not commits:
        return []
    in_loss, in_prompts, trained = _derived(db, IN_LOSS), _derived(db, IN_PROMPT), _trained(db)
    reasons = dict(queries.notes(db, "quiet"))
    noted_at, used_at = sorted(reasons), sorted({*in_loss, *in_prompts})
    rows = []
    for first in range(commits[0], commits[-1] + 1, window):
        span = range(first, min(first + window, commits[-1] + 1))
        derived, share = _share_of_span(span, in_loss, in_prompts, trained)
        noted, used = _newest(noted_at, span[-1]), _newest(used_at, span[-1])
        used_since = noted < 0 or used > noted
        rows.append(
            {
                "first": span[0],
                "last": span[-1],
                "share": share or 0.0,
                "tokens": derived,
                "reason": None if derived or used_since else reasons[noted]["reason"],
            }
        )
    return rows


def _newest(iterations: Sequence[int], until: int) -> int:
    """The last of some iterations, in order, that is not after `until`; -1 if there is none."""
    at = bisect_right(iterations, until)
    return iterations[at - 1] if at else -1


def share_at(db: sqlite3.Connection, iteration: int) -> float | None:
    """The teacher share of one iteration, also of an open one; None if it used no token."""
    places = {IN_LOSS: 0, IN_PROMPT: 0}
    query = f"SELECT place, sum(tokens) FROM seeds WHERE iteration = ? AND {queries.TAUGHT} "
    places.update(db.execute(query + "GROUP BY place", [iteration]).fetchall())
    query = "SELECT coalesce(sum(trained_tokens), 0) FROM meters WHERE iteration = ?"
    trained = db.execute(query, [iteration]).fetchone()[0]
    counts = ({iteration: n} for n in (places[IN_LOSS], places[IN_PROMPT], trained))
    return _share_of_span(range(iteration, iteration + 1), *counts)[1]


def used_after(db: sqlite3.Connection, iteration: int) -> tuple[int, int]:
    """Return (teacher- or reference-derived tokens, all tokens used) after an iteration."""
    lost, shown, learned = (
        sum(n for at, n in counts.items() if at > iteration)
        for counts in (_derived(db, IN_LOSS), _derived(db, IN_PROMPT), _trained(db))
    )
    return lost + shown, max(lost, learned) + shown


def _share_of_span(
    span: range,
    in_loss: Mapping[int, int],
    in_prompts: Mapping[int, int],
    trained: Mapping[int, int],
) -> tuple[int, float | None]:
    """Derived tokens of some iterations, and their share; what is in a loss is trained on, too."""
    lost, shown, learned = (sum(c.get(i, 0) for i in span) for c in (in_loss, in_prompts, trained))
    used = max(lost, learned) + shown
    return lost + shown, (lost + shown) / used if used else None


def _derived(db: sqlite3.Connection, place: str) -> dict[int, int]:
    query = (
        f"SELECT iteration, sum(tokens) FROM seeds WHERE place = ? AND {queries.TAUGHT} "
        "GROUP BY iteration"
    )
    return dict(db.execute(query, [place]).fetchall())


def _trained(db: sqlite3.Connection) -> dict[int, int]:
    query = "SELECT iteration, sum(trained_tokens) FROM meters GROUP BY iteration"
    return dict(db.execute(query).fetchall())


def compute(db: sqlite3.Connection, peak_rss_gb: float | None) -> dict[str, Any]:
    """Tokens, FLOPs, seconds and episodes, summed over the committed iterations.

    Tokens and episodes are the student's; what a teacher read is told with the teacher.
    """
    totals = db.execute(
        "SELECT coalesce(sum(processed_tokens), 0), coalesce(sum(sampled_tokens), 0), "
        "coalesce(sum(trained_tokens), 0), coalesce(sum(episodes), 0) FROM meters "
        "WHERE phase <> 'teacher'"
    ).fetchone()
    flops = _folded(
        db, "SELECT phase, sum(flops) FROM meters GROUP BY phase", ("sample", "eval", "teacher")
    )
    seconds = _folded(
        db,
        "SELECT phase, sum(seconds) FROM seconds GROUP BY phase",
        ("sample", "grade", "teacher", "eval", "other"),
    )
    spent = sum(seconds.values())
    return {
        "processed_tokens": totals[0],
        "sampled_tokens": totals[1],
        "trained_tokens": totals[2],
        "flops": flops,
        "seconds": seconds,
        "episodes": totals[3],
        "episodes_per_second": totals[3] / spent if spent else None,
        "peak_rss_gb": peak_rss_gb,
    }


def integrity(db: sqlite3.Connection) -> dict[str, Any]:
    """What went wrong or was tried: our failures, hacks, canaries, baits, second gradings."""
    infra, hacks, reverified, refuted = db.execute(
        "SELECT coalesce(sum(outcome = 'infra'), 0), coalesce(sum(outcome = 'hack'), 0), "
        "coalesce(sum(reverified IS NOT NULL), 0), coalesce(sum(reverified = 0), 0) FROM evidence"
    ).fetchone()
    baits = [n for p in (BEFORE, AFTER_SEEDING, AFTER)
             for _, n in queries.notes(db, impossible_note(p))]  # fmt: skip
    canaries = [passes for _, passes in queries.notes(db, "canary_passes")]
    return {
        "infra": infra,
        "hacks_caught": hacks,
        "canary_passes": sum(canaries) if canaries else None,
        "impossible_draws": sum(note["draws"] for note in baits) if baits else None,
        "impossible_passes": sum(len(note["alarms"]) for note in baits) if baits else None,
        "impossible_broken": admissions.broken_baits(db),
        "reverified": reverified,
        "reverify_failed": refuted,
    }


def _folded(db: sqlite3.Connection, query: str, names: Sequence[str]) -> dict[str, float]:
    """Sums by phase; the optimiser's phases are `train`, what has no name of its own `other`."""
    sums = dict.fromkeys((*names, "train"), 0.0)
    for phase, value in db.execute(query):
        name = (
            "train" if phase in ("train", "seed", "help") else phase if phase in sums else "other"
        )
        sums[name] = sums.get(name, 0.0) + value
    return sums

"""The story of one task or one episode in plain text, for `toprope show`. Reads files only."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from itertools import groupby
from pathlib import Path

from toprope.ledger import pool, queries
from toprope.ledger.rows import Evidence, TaskRow
from toprope.ledger.schema import LedgerError, open_for_reading
from toprope.ledger.store import LEDGER_NAME
from toprope.report.episodes import find_episode
from toprope.report.numbers import count, money
from toprope.terms import Mode, Outcome, Split, State

PURPOSE_WORDS = {
    "cold": "cold test",
    "granted": "cold test, protocol granted",
    "pilot": "re-pilot",
    "train": "training",
    "review": "review",
    "thaw-check": "thaw check",
    "beside": "plain, beside help",
    "help": "with help",
    "base": "frozen base, same draws",
    "eval:before": "held-out, before",
    "eval:after_seeding": "held-out, after seeding",
    "eval:after": "held-out, after RL",
}


def story(run_dir: Path | str, name: str) -> str:
    """The story of the task called `name`, or of the episode.

    Raises LedgerError if the run knows neither, with the nearest names of tasks.
    """
    run_dir = Path(run_dir)
    with closing(open_for_reading(run_dir / LEDGER_NAME)) as db:
        known = {task.task_id for task in queries.tasks(db)}
        drawn = db.execute("SELECT 1 FROM evidence WHERE episode_id = ?", [name]).fetchone()
    if name not in known and (drawn or find_episode(run_dir, name)):
        return episode_story(run_dir, name)
    return task_story(run_dir, name)


def task_story(run_dir: Path | str, task_id: str) -> str:
    """Attempts, state changes, what the teacher gave, the first success, and the cost.

    Raises LedgerError if the run has no such task, with the nearest names.
    """
    run_dir = Path(run_dir)
    with closing(open_for_reading(run_dir / LEDGER_NAME)) as db:
        task = queries.task(db, task_id)
        evidence = queries.evidence(db, task_id=task_id)
        parts = [
            _opening(db, task),
            _events(db, task_id, evidence),
            _teacher(db, task_id),
            _first_success(run_dir, evidence),
            _cost(db, task_id, evidence),
        ]
    return "\n\n".join(part for part in parts if part)


def episode_story(run_dir: Path | str, episode_id: str) -> str:
    """One attempt: what was sampled, what it was worth and why.

    Raises LedgerError if the run knows no such episode.
    """
    run_dir = Path(run_dir)
    with closing(open_for_reading(run_dir / LEDGER_NAME)) as db:
        rows = db.execute("SELECT task_id FROM evidence WHERE episode_id = ?", [episode_id])
        known = rows.fetchone()
        row = None
        if known:
            every = queries.evidence(db, task_id=known[0])
            row = next(e for e in every if e.episode_id == episode_id)
    episode = find_episode(run_dir, episode_id)
    if row is None and episode is None:
        raise LedgerError(
            f"{run_dir} knows no task and no episode {episode_id!r}; "
            "`toprope show TASK` names a task's episodes"
        )
    lines = [f"Episode {episode_id}"]
    if row is not None:
        lines += _row_lines(row)
    if episode is None:
        return "\n".join(
            [*lines, "", "Its tokens are not in episodes/ (an evaluation, or deleted)."]
        )
    verdict = episode["verdict"]
    mean = sum(episode["logprobs"]) / max(len(episode["logprobs"]), 1)
    lines += [
        f"shown {len(episode['prompt_ids'])} tokens, sampled {len(episode['sampled_ids'])} "
        f"(ended by {episode['stop']}, mean log-probability {mean:.2f})",
        f"verdict ({verdict.get('level', 'exact')}): {verdict['outcome']}, {verdict['why']}",
        "",
        "What it wrote:",
        *(f"    {line}" for line in episode["text"].splitlines()),
    ]
    return "\n".join(lines)


def _opening(db: sqlite3.Connection, task: TaskRow) -> str:
    where = f"{task.split} ({task.tier})" if task.tier else str(task.split)
    told = f"Task {task.task_id}, {where}, from {task.cluster}"
    if task.split is Split.TRAIN:
        changes = queries.transitions(db, task.task_id)
        told += f"\nState: {changes[-1].after if changes else State.UNSEEN}"
        told += ", never seeded (control)" if task.never_seeded else ""
        joined = pool.joined(db).get(task.task_id)
        told += "" if joined is None else f", joined the pool in iteration {joined}"
        told += "" if pool.holds(db, task.task_id) else ", outside the pool"
    return told


def _events(db: sqlite3.Connection, task_id: str, evidence: Sequence[Evidence]) -> str:
    events = []
    for (iteration, purpose), group in groupby(evidence, lambda e: (e.iteration, e.purpose)):
        events.append((iteration, 0, f"{_purpose(purpose)}: {_outcomes(list(group))}"))
    seeds = db.execute(
        "SELECT iteration, rung, kind, count(*), sum(tokens) FROM seeds WHERE task_id = ? "
        "GROUP BY iteration, rung, kind",
        [task_id],
    )
    events += [
        (iteration, 1, f"rung {rung}: learned from {n} {kind} seed(s), {tokens} tokens")
        for iteration, rung, kind, n, tokens in seeds
    ]
    events += [
        (change.iteration, 2, f"{change.before} -> {change.after}: {change.reason}")
        for change in queries.transitions(db, task_id)
    ]
    lines = [f"  {iteration:>4}  {told}" for iteration, _, told in sorted(events)]
    return "\n".join(["By iteration:", *lines]) if lines else "Nothing was drawn for it yet."


def _outcomes(group: Sequence[Evidence]) -> str:
    drawn = [e for e in group if e.outcome is not Outcome.INFRA]
    passed = sum(_verified(e) for e in drawn)
    others = Counter(str(e.outcome) for e in group if e.outcome is not Outcome.PASSED)
    refuted = sum(e.outcome is Outcome.PASSED and not _verified(e) for e in group)
    if refuted:
        others["refuted by a second grading"] = refuted
    told = ", ".join(f"{n} {name}" for name, n in others.most_common())
    return f"{passed} of {len(drawn)} passed" + (f" ({told})" if told else "")


def _teacher(db: sqlite3.Connection, task_id: str) -> str:
    rows = db.execute(
        "SELECT rung, outcome, count(*), sum(prompt_tokens + completion_tokens) "
        "FROM teacher_calls WHERE task_id = ? GROUP BY rung, outcome ORDER BY rung, outcome",
        [task_id],
    ).fetchall()
    lines = [f"  rung {rung}: {n} {outcome}, {tokens} tokens" for rung, outcome, n, tokens in rows]
    return "\n".join(["What the teacher was asked:", *lines]) if lines else ""


def _first_success(run_dir: Path, evidence: Sequence[Evidence]) -> str:
    plain = [e for e in evidence if e.mode is Mode.PLAIN and e.policy == "student"]
    first = next((e for e in plain if _verified(e)), None)
    if first is None:
        return "It has never been solved without help."
    before = sum(e.outcome is not Outcome.INFRA for e in plain[: plain.index(first)])
    told = (
        f"First success without help: iteration {first.iteration}, {_purpose(first.purpose)}, "
        f"after {before} plain draws; episode {first.episode_id}"
    )
    episode = find_episode(run_dir, first.episode_id)
    if episode is None:
        return told
    return "\n".join([told, *(f"    {line}" for line in episode["text"].splitlines())])


def _cost(db: sqlite3.Connection, task_id: str, evidence: Sequence[Evidence]) -> str:
    calls, tokens, dollars = db.execute(
        "SELECT count(*), coalesce(sum(prompt_tokens + completion_tokens), 0), "
        "coalesce(sum(cost_usd), 0.0) FROM teacher_calls WHERE task_id = ?",
        [task_id],
    ).fetchone()
    sampled = sum(e.sampled_tokens for e in evidence if e.mode is not Mode.TAKEN)
    return (
        f"Cost: {count(len(evidence))} episodes, {count(sampled)} tokens sampled; "
        f"{calls} teacher attempts, {count(tokens)} tokens, {money(dollars)}"
    )


def _row_lines(row: Evidence) -> list[str]:
    checked = {None: "", True: ", confirmed by a second grading", False: ", then refuted"}
    return [
        f"task {row.task_id}, iteration {row.iteration}, {_purpose(row.purpose)}, draw {row.draw}",
        f"{row.policy} at version {row.version}, {row.mode}, rung {row.rung}",
        f"outcome {row.outcome}, reward {row.reward:g}{checked[row.reverified]}",
    ]


def _verified(row: Evidence) -> bool:
    return row.outcome is Outcome.PASSED and row.reverified is not False


def _purpose(purpose: str) -> str:
    if purpose.startswith("eval:dev:"):
        return "dev"
    return PURPOSE_WORDS.get(purpose, purpose)

"""The end of an iteration and the beginning of a sitting: commit, and restore from it.

Order matters: episodes, the checkpoint's rename, the metrics row, then the ledger's commit,
which alone decides. Whatever a kill leaves beyond the commit is dropped and written again.
"""

from __future__ import annotations

import resource
from collections.abc import Sequence
from math import isfinite

from toprope.climb.crew import Crew
from toprope.climb.status import Status
from toprope.climb.training.health import NOTE as SKIPPED
from toprope.learn.step import StepReport
from toprope.ledger.accounts import share_at
from toprope.ledger.rows import TRAIN
from toprope.policy.checkpoint import load_checkpoint, save_checkpoint, step_name
from toprope.terms import Episode, Outcome

BASE = "base"


def commit(
    crew: Crew,
    iteration: int,
    *,
    groups: Sequence[Sequence[Episode]],
    report: StepReport | None,
    dev: float | None,
    keep: bool,
) -> Status:
    """Make an iteration whole; `keep` asks for a checkpoint whatever the interval says."""
    crew.folder.save_episodes(iteration, crew.episodes)
    crew.episodes.clear()
    due = iteration > 0 and (keep or iteration % crew.config.limits.checkpoint_every == 0)
    if due:
        with crew.meters.phase("checkpoint"):
            _checkpoint(crew, iteration)
    if dev is not None:
        crew.ledger.note(iteration, "dev_rate", dev)
    if (skipped := crew.learner.health.drain()) is not None:
        crew.ledger.note(iteration, SKIPPED, skipped)
    name = step_name(iteration) if due else _newest(crew)
    rows, seconds = crew.meters.drain()
    crew.ledger.record_meters(rows)
    crew.ledger.record_seconds(iteration, seconds)
    status = _status(crew, iteration, groups, report, dev, seconds)
    crew.folder.add_metrics(_metrics(crew, status, report, seconds))
    crew.ledger.commit(iteration, crew.version, name)
    if due:
        _prune(crew, iteration)
    return status


def restore(crew: Crew) -> int:
    """Put the crew where the newest checkpointed iteration left it; return it, or -1."""
    last = crew.ledger.last_commit()
    if last is None:
        crew.folder.forget_after(-1)
        return -1
    back = 0 if last.checkpoint == BASE else int(last.checkpoint.removeprefix("step-"))
    if last.checkpoint != BASE:  # first, so that a damaged one changes nothing else
        crew.learner.restore(*load_checkpoint(crew.folder.checkpoint(back)))
    crew.ledger.rollback_after(back)
    crew.folder.forget_after(back)
    last = crew.ledger.last_commit()
    assert last is not None
    crew.version = last.version
    crew.learner.health.resume(crew.ledger.last_note(SKIPPED))
    _prune(crew, back)  # a kill may have come between the commit and this
    return back


def _newest(crew: Crew) -> str:
    last = crew.ledger.last_commit()
    return last.checkpoint if last else BASE


def _checkpoint(crew: Crew, iteration: int) -> None:
    weights, optimiser = crew.learner.saved()
    save_checkpoint(
        crew.folder.checkpoint(iteration),
        weights=weights,
        optimiser=optimiser,
        facts={"iteration": iteration, "version": crew.version},
        beside=crew.student,
    )


def _prune(crew: Crew, iteration: int) -> None:
    """Keep the newest two checkpoints and the one with the best dev pass rate."""
    written = crew.folder.written_checkpoints()
    best = crew.ledger.db.execute(
        "SELECT iteration FROM notes WHERE key = 'dev_rate' ORDER BY value + 0 DESC, iteration"
    ).fetchall()
    scored = [i for (i,) in best if i in written]
    crew.folder.keep_checkpoints({*written[-2:], *scored[:1], iteration})


def _status(
    crew: Crew,
    iteration: int,
    groups: Sequence[Sequence[Episode]],
    report: StepReport | None,
    dev: float | None,
    seconds: dict[str, float],
) -> Status:
    rewards = [
        e.verdict.reward for g in groups for e in g if e.verdict.outcome is not Outcome.INFRA
    ]
    sampled = crew.ledger.db.execute(
        "SELECT coalesce(sum(sampled_tokens), 0) FROM meters WHERE iteration = ? "
        "AND phase IN ('sample', 'eval')",
        [iteration],
    ).fetchone()[0]
    busy = seconds.get("sample", 0.0) + seconds.get("eval", 0.0)
    mixed = sum(len({e.verdict.reward for e in g}) > 1 for g in groups)
    return Status(
        iteration=iteration,
        doing="committed",
        states={state.value: n for state, n in crew.ledger.counts().items()},
        train_rate=sum(rewards) / len(rewards) if rewards else None,
        dev_rate=dev,
        mixed_groups=mixed if groups else None,
        groups=len(groups) if groups else None,
        teacher_share=share_at(crew.ledger.db, iteration),
        tokens_per_second=sampled / busy if busy else None,
    )


def _metrics(
    crew: Crew, status: Status, report: StepReport | None, seconds: dict[str, float]
) -> dict[str, object]:
    row: dict[str, object] = {
        "iteration": status.iteration,
        "version": crew.version,
        "purpose": TRAIN if status.groups else "measure",
        "states": dict(status.states),
        "train_rate": status.train_rate,
        "dev_rate": status.dev_rate,
        "groups": status.groups,
        "mixed_groups": status.mixed_groups,
        "teacher_share": status.teacher_share,
        "tokens_per_second": status.tokens_per_second,
        "seconds": {name: round(taken, 3) for name, taken in seconds.items()},
        "peak_rss_gb": peak_rss_gb(),
    }
    if report is not None:
        learn: dict[str, object] = {
            "loss": _finite(report.loss),
            "grad_norm": _finite(report.grad_norm),
            "own_tokens": report.own_tokens,
            "weight_mean": _finite(report.weight_mean),
            "weight_max": _finite(report.weight_max),
            "mismatch_kl": _finite(report.mismatch_kl),
        }
        if report.skipped:
            learn["skipped"] = report.skipped
        row["learn"] = learn
    return row


def _finite(value: float) -> float | None:
    """Return a number that JSON has, or None."""
    return value if isfinite(value) else None


def peak_rss_gb() -> float:
    """Return this process's largest resident size so far, in 10^9 bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9

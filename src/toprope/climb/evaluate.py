"""Compares models on a taskset: the same tasks, the same seeds, plain draws, no run needed.

pass@1 with cluster intervals over source functions, pass@k, by tier, and the paired
difference of each subject to the first. It changes nothing but the meter of time.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from toprope.climb import choose
from toprope.climb.play import Plan
from toprope.climb.start import task_row
from toprope.climb.subjects import Subject
from toprope.grading import ALARM, Admission, Grader, admit
from toprope.ledger import points
from toprope.ledger.points import Tally
from toprope.sandbox import Sandbox
from toprope.tasks import Taskset
from toprope.terms import Outcome, Split, Task, Tier, TopropeError, Verdict

PURPOSE = "eval"
Tell = Callable[[str, int, int], None]  # subject, episodes done, episodes in all


class NothingToEvaluate(TopropeError):
    """No task or no subject was named."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What is asked of every subject. `limit` 0 takes all tasks."""

    taskset: Taskset
    split: Split = Split.HELDOUT
    tier: Tier | None = None
    draws: int = 4
    limit: int = 0
    seed: int = 0
    temperature: float = 1.0

    def tasks(self) -> list[Task]:
        """Return the tasks, drawn evenly over the tiers and new source functions first.

        With the limit and seed of a run these are the run's own held-out tasks.
        """
        if self.split is Split.HELDOUT and self.tier is None:
            found = choose.heldout_panel(self.taskset.tasks, self.limit, self.seed)
        else:
            of_split = self.taskset.split(self.split)
            found = [t for t in of_split if self.tier is None or t.tier is self.tier]
            if 0 < self.limit < len(found):
                order = random.Random(f"{self.seed}:{self.split}")
                found = choose.spread(order.sample(found, len(found)))[: self.limit]
        if not found:
            tier = f" of tier {self.tier}" if self.tier else ""
            raise NothingToEvaluate(
                f"taskset {self.taskset.name} has no {self.split} tasks{tier}; "
                "`toprope tasks list` shows what it has"
            )
        return found


def evaluate(
    evaluation: Evaluation, subjects: Sequence[Subject], sandbox: Sandbox, tell: Tell
) -> dict[str, Any]:
    """Return the comparison as plain data, the numbers of each tier as in `summary.json`.

    Raises:
        TopropeError: there is nothing to evaluate, or a subject cannot be loaded or reached.
    """
    if not subjects:
        raise NothingToEvaluate("name at least one run, checkpoint, model or --endpoint")
    grader = Grader(sandbox)
    tasks, admission = _sound(evaluation.tasks(), grader)
    baits = _sound_baits(evaluation, grader)
    rows = [task_row(task, at) for at, task in enumerate(tasks)]
    told, first = [], None
    for subject in subjects:
        began = time.monotonic()
        verdicts, alarms = _play(evaluation, subject, tasks, baits, grader, tell)
        tallies = {task_id: _tally(found) for task_id, found in verdicts.items()}
        first = tallies if first is None else first
        outcomes = Counter(str(v.outcome) for found in verdicts.values() for v in found)
        told.append(
            {
                "name": subject.name,
                "source": subject.source,
                "tiers": points.by_tier(tallies, rows, evaluation.draws),
                "gain": None if tallies is first else points.gains(first, tallies, rows),
                "outcomes": dict(sorted(outcomes.items())),
                "impossible": alarms,
                "sampled_tokens": subject.sampled_tokens,
                "seconds": round(time.monotonic() - began, 3),
            }
        )
    return {
        "taskset": {"name": evaluation.taskset.name, "hash": evaluation.taskset.hash},
        "split": str(evaluation.split),
        "tier": str(evaluation.tier) if evaluation.tier else None,
        "tasks": len(tasks),
        "left_out": dict(admission.broken),
        "unproven": dict(admission.unproven),
        "draws": evaluation.draws,
        "seed": evaluation.seed,
        "temperature": evaluation.temperature,
        "isolated": sandbox.walls.isolated,
        "mutator": points.mutator(rows),
        "subjects": told,
    }


def _sound(tasks: Sequence[Task], grader: Grader) -> tuple[list[Task], Admission]:
    """Return the tasks without those that are shown to be broken, for every subject alike."""
    admission = admit(tasks, grader)
    kept = [task for task in tasks if task.id not in admission.broken]
    if not kept:
        task, why = next(iter(admission.broken.items()))
        raise NothingToEvaluate(
            f"every task that was asked for is broken (first: {task}: {why}); "
            "`toprope tasks check` names them all"
        )
    return kept, admission


def _play(
    evaluation: Evaluation,
    subject: Subject,
    tasks: Sequence[Task],
    baits: Sequence[Plan],
    grader: Grader,
    tell: Tell,
) -> tuple[dict[str, list[Verdict]], dict[str, int] | None]:
    """Return every task's verdicts, played in parts so that progress can be told.

    And how many draws of impossible tasks there were, and how many passed one.
    """
    part = max(1, subject.at_once // evaluation.draws)
    total = len(tasks) * evaluation.draws
    verdicts: dict[str, list[Verdict]] = {}
    tell(subject.name, 0, total)
    try:
        for at in range(0, len(tasks), part):
            plans = [Plan(task, PURPOSE, evaluation.draws) for task in tasks[at : at + part]]
            groups = subject.play(
                plans, grader, seed=evaluation.seed, temperature=evaluation.temperature
            )
            for plan, group in zip(plans, groups, strict=True):
                verdicts[plan.task.id] = group
            tell(subject.name, len(verdicts) * evaluation.draws, total)
        alarms = _play_baits(evaluation, subject, baits, grader)
    finally:
        subject.close()
    return verdicts, alarms


def _sound_baits(evaluation: Evaluation, grader: Grader) -> list[Plan]:
    """Return the draws of impossible tasks, without those that can be solved after all."""
    plans = choose.bait_plans(evaluation.taskset, evaluation.seed, f"bait:{PURPOSE}")
    broken = admit([plan.task for plan in plans], grader).broken
    return [plan for plan in plans if plan.task.id not in broken]


def _play_baits(
    evaluation: Evaluation, subject: Subject, plans: Sequence[Plan], grader: Grader
) -> dict[str, int] | None:
    if not plans:
        return None
    groups = subject.play(plans, grader, seed=evaluation.seed, temperature=evaluation.temperature)
    verdicts = [verdict for group in groups for verdict in group]
    return {"draws": len(verdicts), "alarms": sum(v.why == ALARM for v in verdicts)}


def _tally(verdicts: Sequence[Verdict]) -> Tally:
    outcomes = Counter(verdict.outcome for verdict in verdicts)
    lost = outcomes[Outcome.INFRA]
    return Tally(len(verdicts) - lost, outcomes[Outcome.PASSED], lost)

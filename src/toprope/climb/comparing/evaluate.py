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

from toprope.climb.comparing.renamed import Rename, compared, make_twins
from toprope.climb.comparing.subjects import Subject
from toprope.climb.episodes.play import Plan
from toprope.climb.opening import task_row
from toprope.climb.pool import choose
from toprope.grading import ALARM, Admission, Grader, admit
from toprope.ledger import points
from toprope.ledger.points import Tally
from toprope.ledger.rows import TaskRow
from toprope.sandbox import Sandbox
from toprope.tasks import Taskset
from toprope.terms import Outcome, Split, Task, Tier, TopropeError, Verdict

PURPOSE = "eval"
Tell = Callable[[str, int, int], None]  # subject, episodes done, episodes in all


class NothingToEvaluate(TopropeError):
    """No task or no subject was named."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What is asked of every subject. `limit` 0 takes all tasks.

    With `rename` every task is also drawn as that function gives it back, names replaced.
    """

    taskset: Taskset
    split: Split = Split.HELDOUT
    tier: Tier | None = None
    draws: int = 4
    limit: int = 0
    seed: int = 0
    temperature: float = 1.0
    rename: Rename | None = None

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
    rename = evaluation.rename
    twins = make_twins(tasks, rename, sandbox) if rename else None
    work = _Work(evaluation, tasks, twins.tasks if twins else (), baits, grader, Grader(sandbox))
    found = [_play(work, subject, tell) for subject in subjects]
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
        "renamed": twins.told() if twins else None,
        "subjects": [
            {
                **_told(one, found[0], rows, evaluation.draws),
                "renamed": _told_renamed(one, found[0], rows, evaluation.draws) if twins else None,
            }
            for one in found
        ],
    }


Verdicts = dict[str, list[Verdict]]


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


@dataclass(frozen=True, slots=True)
class _Work:
    """What every subject is given alike.

    A twin has its task's id, so that who remembers verdicts of twins is another grader.
    """

    evaluation: Evaluation
    tasks: Sequence[Task]
    renamed: Sequence[Task]
    baits: Sequence[Plan]
    grader: Grader
    of_renamed: Grader


@dataclass(frozen=True, slots=True)
class _Played:
    """What a subject did: its tasks, their twins, and how draws of impossible tasks went."""

    subject: Subject
    verdicts: Verdicts
    renamed: Verdicts
    baits: dict[str, int] | None
    seconds: float


def _told(one: _Played, first: _Played, rows: list[TaskRow], draws: int) -> dict[str, Any]:
    tallies = _tallies(one.verdicts)
    outcomes = Counter(str(v.outcome) for found in one.verdicts.values() for v in found)
    gain = None if one is first else points.gains(_tallies(first.verdicts), tallies, rows)
    return {
        "name": one.subject.name,
        "source": one.subject.source,
        "tiers": points.by_tier(tallies, rows, draws),
        "gain": gain,
        "outcomes": dict(sorted(outcomes.items())),
        "impossible": one.baits,
        "sampled_tokens": one.subject.sampled_tokens,
        "seconds": one.seconds,
    }


def _told_renamed(one: _Played, first: _Played, rows: list[TaskRow], draws: int) -> dict[str, Any]:
    base = None if one is first else _tallies(first.renamed)
    return compared(_tallies(one.verdicts), _tallies(one.renamed), base, rows, draws)


def _play(work: _Work, subject: Subject, tell: Tell) -> _Played:
    """Have a subject answer every task, every twin and the impossible tasks."""
    began, evaluation = time.monotonic(), work.evaluation
    half = len(work.tasks) * evaluation.draws
    total = half + len(work.renamed) * evaluation.draws
    tell(subject.name, 0, total)
    try:
        verdicts = _play_tasks(evaluation, subject, work.tasks, work.grader, (0, total), tell)
        baits = _play_baits(evaluation, subject, work.baits, work.grader)
        again = _play_tasks(evaluation, subject, work.renamed, work.of_renamed, (half, total), tell)
    finally:
        subject.close()
    return _Played(subject, verdicts, again, baits, round(time.monotonic() - began, 3))


def _play_tasks(
    evaluation: Evaluation,
    subject: Subject,
    tasks: Sequence[Task],
    grader: Grader,
    so_far: tuple[int, int],
    tell: Tell,
) -> Verdicts:
    """Return every task's verdicts, played in parts so that progress can be told."""
    part = max(1, subject.at_once // evaluation.draws)
    done, total = so_far
    verdicts: Verdicts = {}
    for at in range(0, len(tasks), part):
        plans = [Plan(task, PURPOSE, evaluation.draws) for task in tasks[at : at + part]]
        groups = subject.play(
            plans, grader, seed=evaluation.seed, temperature=evaluation.temperature
        )
        for plan, group in zip(plans, groups, strict=True):
            verdicts[plan.task.id] = group
        tell(subject.name, done + len(verdicts) * evaluation.draws, total)
    return verdicts


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


def _tallies(verdicts: Verdicts) -> dict[str, Tally]:
    return {task_id: _tally(found) for task_id, found in verdicts.items()}


def _tally(verdicts: Sequence[Verdict]) -> Tally:
    outcomes = Counter(verdict.outcome for verdict in verdicts)
    lost = outcomes[Outcome.INFRA]
    return Tally(len(verdicts) - lost, outcomes[Outcome.PASSED], lost)

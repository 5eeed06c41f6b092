"""Tasks beside the same tasks with neutral names: did the student learn names?

Who renames is handed in as a function. A twin keeps its task's id, so that the same random
numbers draw both; one that is not proven is left out and counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from toprope.grading import Proof, prove_many
from toprope.ledger import points
from toprope.ledger.points import Tally
from toprope.ledger.rows import TaskRow
from toprope.sandbox import Sandbox
from toprope.terms import Task

Rename = Callable[[Task], Task | str]  # the renamed task, or why there is none
Tallies = Mapping[str, Tally]


@dataclass(frozen=True, slots=True)
class Twins:
    """The renamed tasks that are proven, and how many were left out for which reason."""

    tasks: tuple[Task, ...]
    dropped: Mapping[str, int]

    def told(self) -> dict[str, Any]:
        """Return the counts as plain data."""
        return {"tasks": len(self.tasks), "dropped": dict(self.dropped)}


def make_twins(tasks: Sequence[Task], rename: Rename, sandbox: Sandbox) -> Twins:
    """Return the tasks renamed: the reference passes, and unchanged the bug still fails."""
    made = [rename(task) for task in tasks]
    dropped = Counter(one for one in made if isinstance(one, str))
    renamed = [one for one in made if not isinstance(one, str)]
    proven = []
    for task, proof in zip(renamed, prove_many(renamed, sandbox, times=1), strict=True):
        if isinstance(proof, Proof) and proof.ok:
            proven.append(task)
        else:
            dropped["no proof" if not isinstance(proof, Proof) else str(proof.fault)] += 1
    return Twins(tuple(proven), dict(sorted(dropped.items())))


def compared(
    plain: Tallies, renamed: Tallies, first: Tallies | None, rows: Sequence[TaskRow], draws: int
) -> dict[str, Any]:
    """Return by tier the pass rates of the twins and of their tasks, and paired differences.

    `difference` is renamed - as they are; `gain` of the twins to those of the `first` subject,
    which for that one itself is None.
    """
    same = {task: tally for task, tally in plain.items() if task in renamed}
    return {
        "tiers": points.by_tier(renamed, rows, draws),
        "as_they_are": points.by_tier(same, rows, draws),
        "difference": points.gains(same, renamed, rows),
        "gain": None if first is None else points.gains(first, renamed, rows),
    }

"""Verdicts by key, each given once: what the journal knows is not graded again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from toprope.climb.episodes.journal import Journal
from toprope.grading import Batch, Grader
from toprope.terms import Outcome, Task, Verdict

Wanted = tuple[str, Task, Mapping[str, str]]  # key, task, changes


class Grading:
    """The grading of one call's episodes: begun as each is handed in, waited for at the end.

    Verdicts are the same, and are noted in the same order, whenever and in whatever order the
    episodes were handed in. They are journalled whenever more are handed in, and at the end.
    """

    def __init__(self, grader: Grader, journal: Journal, batch: Batch) -> None:
        self._grader, self._journal, self._batch = grader, journal, batch
        self._settled: dict[str, Verdict] = {}
        self._attempts: dict[str, str] = {}  # the grader's keys, by ours
        self._keys = defaultdict[str, list[str]](list)  # ours that wait, by the grader's

    def __contains__(self, key: str) -> bool:
        """Whether an episode was handed in."""
        return key in self._settled or key in self._attempts

    def settle(self, key: str, verdict: Verdict) -> None:
        """Take a verdict that needs no grading."""
        self._settled[key] = verdict

    def begin(self, wanted: Sequence[Wanted]) -> None:
        """Begin to grade what neither was handed in before nor is in the journal.

        Raises:
            TopropeError: grading an earlier one came to this.
        """
        new = [item for item in wanted if item[0] not in self]
        known = self._journal.journal_get([key for key, _, _ in new]) if new else {}
        for key, task, changes in new:
            if key in known:
                self._settled[key] = _verdict(known[key])
            else:
                attempt = self._attempts[key] = self._batch.add(task, changes)
                self._keys[attempt].append(key)
        self._keep(self._batch.arrived())

    def verdicts(self, keys: Sequence[str]) -> list[Verdict]:
        """Return a verdict per key, in order; waits for what is still being graded.

        Raises:
            GradingFails: too many could not be judged.
        """
        begun = [self._attempts[key] for key in keys if key in self._attempts]
        try:
            given = dict(zip(begun, self._grader.verdicts(self._batch, begun), strict=True))
        except BaseException:
            self._keep(self._batch.arrived())
            raise
        self._keep(given)
        return [self._settled.get(key) or given[self._attempts[key]] for key in keys]

    def _keep(self, come: Mapping[str, Verdict]) -> None:
        """Journal verdicts on attempts, once; our own failures are not kept."""
        kept = {
            key: asdict(verdict)
            for attempt, verdict in come.items()
            for key in self._keys.pop(attempt, ())
            if verdict.outcome is not Outcome.INFRA
        }
        if kept:
            self._journal.journal_put(kept)


@contextmanager
def grading(grader: Grader, journal: Journal) -> Iterator[Grading]:
    """Grade until the block ends; what is not waited for by then is given up."""
    with grader.batch() as batch:
        yield Grading(grader, journal, batch)


def graded(grader: Grader, journal: Journal, wanted: Sequence[Wanted]) -> dict[str, Verdict]:
    """Return a verdict by key for each (key, task, changes); our own failures are not kept."""
    keys = [key for key, _, _ in wanted]
    with grading(grader, journal) as begun:
        begun.begin(wanted)
        return dict(zip(keys, begun.verdicts(keys), strict=True))


def _verdict(value: dict[str, Any]) -> Verdict:
    return Verdict(
        outcome=Outcome(value["outcome"]),
        reward=value["reward"],
        why=value["why"],
        passed=tuple(value["passed"]),
        failed=tuple(value["failed"]),
        level=value["level"],
    )

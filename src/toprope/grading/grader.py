"""Judges many attempts at once: retries our failures, and tells them from theirs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from toprope.grading.verdict import attempt_key, grade
from toprope.sandbox.protocol import Sandbox, WorkerDied
from toprope.terms import InfraError, Outcome, Task, Verdict

Item = tuple[str, Task, Mapping[str, str]]


class Grader:
    """Grades over all workers of a sandbox; results come in the order of the items."""

    def __init__(self, sandbox: Sandbox, retries: int = 2) -> None:
        self.sandbox = sandbox
        self.retries = retries

    def grade_many(self, items: Sequence[Item]) -> list[Verdict]:
        """A verdict for each (episode id, task, changes); the same attempt is run once.

        Never raises for a failure of ours: that is retried, then `Outcome.INFRA`.
        """
        keys = [attempt_key(task, changes) for _, task, changes in items]
        distinct = dict(zip(keys, items, strict=True))
        with ThreadPoolExecutor(self.sandbox.workers, "grader") as pool:
            judged = pool.map(lambda item: self._judge(item[1], item[2]), distinct.values())
            verdicts = dict(zip(distinct, judged, strict=True))
        return [verdicts[key] for key in keys]

    def _judge(self, task: Task, changes: Mapping[str, str]) -> Verdict:
        deaths = 0
        last = ""
        for _ in range(self.retries + 1):
            try:
                return grade(task, changes, self.sandbox)
            except WorkerDied as error:
                deaths += 1
                last = str(error)
                if deaths == 2:
                    # Else crashing the grader would be a way out of a failing grade.
                    return Verdict(Outcome.FAILED, 0.0, "ended the sandbox's worker twice")
            except InfraError as error:
                last = str(error)
        return Verdict(Outcome.INFRA, 0.0, f"not graded after {self.retries + 1} tries: {last}")

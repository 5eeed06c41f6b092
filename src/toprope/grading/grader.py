"""Judges many attempts at once: retries our failures, and tells them from theirs."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager

from toprope.grading.batch import Batch
from toprope.grading.verdict import grade
from toprope.sandbox.protocol import Sandbox, WorkerDied
from toprope.terms import InfraError, Outcome, Task, TopropeError, Verdict

Item = tuple[str, Task, Mapping[str, str]]

_REMEMBERED = 20_000  # verdicts
_WATCHED = 100  # attempts over which failures of ours are counted
_ABNORMAL = 0.3
_IN_A_ROW = 20  # of more than one task: then nothing can be judged, and waiting tells no more
_FIRST_PAUSE_S = 0.05


class GradingFails(TopropeError):
    """So many attempts could not be judged that going on would only lose them."""


class Grader:
    """Grades over all workers of a sandbox; results come in the order of the items.

    An attempt is (task, final files): the same one is never run twice. When 3 of 10 attempts
    cannot be judged for reasons of ours, or 20 one after the other, `GradingFails` stops
    whoever asks.
    """

    def __init__(self, sandbox: Sandbox, retries: int = 2) -> None:
        self.sandbox = sandbox
        self.retries = retries
        self._known: OrderedDict[str, Verdict] = OrderedDict()
        self._lost: deque[str] = deque(maxlen=_WATCHED)  # the task's id, or "" if judged

    def grade_many(self, items: Sequence[Item], fresh: bool = False) -> list[Verdict]:
        """A verdict for each (episode id, task, changes); `fresh` runs what is known already, too.

        A failure of ours is retried, then `Outcome.INFRA`. Raises `GradingFails`.
        """
        with self.batch(fresh) as batch:
            return self.verdicts(batch, [batch.add(task, changes) for _, task, changes in items])

    @contextmanager
    def batch(self, fresh: bool = False) -> Iterator[Batch]:
        """Open a batch for attempts to be judged in the background, until the block ends."""
        batch = Batch(self._judge, self.sandbox.workers, {} if fresh else self._known)
        try:
            yield batch
        finally:
            batch.close()

    def verdicts(self, batch: Batch, keys: Sequence[str]) -> list[Verdict]:
        """Wait for the verdicts on a batch's attempts, by the keys that `add` returned, in order.

        What is noted of them depends on the order of the keys, never on who was judged first.
        Raises `GradingFails`.
        """
        verdicts, given = batch.wait(keys)
        self._remember(given)
        return verdicts

    def _judge(self, task: Task, changes: Mapping[str, str], over: threading.Event) -> Verdict:
        deaths = 0
        last = ""
        for attempt in range(self.retries + 1):
            if over.wait(_FIRST_PAUSE_S * (2**attempt - 1)):
                raise CancelledError
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

    def _remember(self, verdicts: Mapping[str, Verdict]) -> None:
        for key, verdict in verdicts.items():
            lost = verdict.outcome is Outcome.INFRA
            self._lost.append(key.rpartition("@")[0] if lost else "")
            if not lost:
                self._known[key] = verdict
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        lost_tasks = [task for task in self._lost if task]
        often = len(self._lost) == _WATCHED and len(lost_tasks) > _ABNORMAL * _WATCHED
        latest = list(self._lost)[-_IN_A_ROW:]
        always = len(latest) == _IN_A_ROW and all(latest) and len(set(latest)) > 1
        if often or always:
            why = next((v.why for v in verdicts.values() if v.outcome is Outcome.INFRA), "earlier")
            raise GradingFails(
                f"{len(lost_tasks)} of the last {len(self._lost)} attempts could not be judged "
                f"({why}). "
                "`toprope sandbox probe` looks at the walls; when it is mended, run the same "
                "command to go on"
            )

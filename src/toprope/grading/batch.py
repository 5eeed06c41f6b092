"""Attempts judged in the background while more of them are handed in, each distinct one once.

Its threads only wait for the sandbox's workers; all else is the caller's thread. It must not
know who hands attempts in, or what failures of ours come to.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor

from toprope.grading.verdict import attempt_key, real_changes
from toprope.terms import Task, TopropeError, Verdict

Judge = Callable[[Task, Mapping[str, str], threading.Event], Verdict]


class Batch:
    """A batch that is open until it is closed.

    Args:
        judge: called in a thread; it gives up soon once the event that it is given is set.
        workers: how many attempts are judged at once.
        known: verdicts that need not be given again, by attempt.
    """

    def __init__(self, judge: Judge, workers: int, known: Mapping[str, Verdict]) -> None:
        self._judge, self._known = judge, known
        self._pool = ThreadPoolExecutor(workers, "grader")
        self._over = threading.Event()
        self._begun: dict[str, Future[Verdict]] = {}
        self._recalled: dict[str, Verdict] = {}
        # Written by the threads, one whole item at a time.
        self._arrived: deque[tuple[str, Verdict]] = deque()
        self._failed: deque[TopropeError] = deque()

    def add(self, task: Task, changes: Mapping[str, str]) -> str:
        """Begin to judge an attempt, unless it is known or begun; return its key.

        Raises:
            TopropeError: judging an earlier one came to this, and so will `wait`. Faults of
                another kind are left to `wait`: a sampler that is in the middle of a step
                would take a `MemoryError` for its own.
        """
        if self._failed:
            raise self._failed[0]
        key = attempt_key(task, real_changes(task, changes))
        if key in self._known:
            self._recalled[key] = self._known[key]
        elif key not in self._begun:
            self._begun[key] = self._pool.submit(self._run, key, task, changes)
        return key

    def arrived(self) -> dict[str, Verdict]:
        """Return the verdicts given here since this was last asked, by attempt; waits for none."""
        found = {}
        while self._arrived:
            key, verdict = self._arrived.popleft()
            found[key] = verdict
        return found

    def wait(self, keys: Sequence[str]) -> tuple[list[Verdict], dict[str, Verdict]]:
        """Return the verdicts on these attempts, in order, and of these those given here, by key.

        Raises what judging the first of them raised that could not be judged.
        """
        given = {k: self._begun[k].result() for k in dict.fromkeys(keys) if k in self._begun}
        found = {**self._recalled, **given}
        return [found[key] for key in keys], given

    def close(self) -> None:
        """Begin no more, and wait for those that run now: each ends by its own limits."""
        self._over.set()
        self._pool.shutdown(cancel_futures=True)

    def _run(self, key: str, task: Task, changes: Mapping[str, str]) -> Verdict:
        if self._over.is_set():  # taken up in the instant before the others were dropped
            raise CancelledError
        try:
            verdict = self._judge(task, changes, self._over)
        except TopropeError as error:
            self._failed.append(error)
            raise
        self._arrived.append((key, verdict))  # before anyone who waits goes on
        return verdict

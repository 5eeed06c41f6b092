"""Where candidates become answers: tried, proven, kept, several at once.

It must not know which candidates there are nor how many are wanted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from toprope.forge.repository.baseline import Baseline
from toprope.forge.repository.progress import INFRA, Answer, Progress
from toprope.forge.repository.source import Repository
from toprope.grading import prove, with_runner
from toprope.sandbox.protocol import Sandbox
from toprope.terms import InfraError, Suite, Task

_RETRIES = 2
_AHEAD = 8  # candidates under way per worker
Item = TypeVar("Item")
Tell = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Workbench:
    """A repository whose tests were seen to run, and everything that is needed to try bugs.

    `most_tests` are required of a task, 0 for all that are good.
    """

    repository: Repository
    suite: Suite
    baseline: Baseline
    sandbox: Sandbox
    progress: Progress
    pool: ThreadPoolExecutor
    tell: Tell
    most_tests: int

    def answers(
        self,
        queue: Iterator[Item],
        key: Callable[[Item], str],
        attempt: Callable[[Item], Task | str],
    ) -> Iterator[tuple[Item, Answer]]:
        """Yield each item with its answer, in order, some tried ahead of time by other threads.

        `attempt` returns a task that is still to be proven, or the word for why there is none.
        """

        def one(item: Item) -> Answer:
            known = self.progress.known.get(key(item))
            if known is None:
                known = self._answer(key(item), item, attempt)
                self.progress.add(known)
            return known

        while chunk := list(islice(queue, self.sandbox.workers * _AHEAD)):
            yield from zip(chunk, self.pool.map(one, chunk), strict=True)

    def _answer(self, key: str, item: Item, attempt: Callable[[Item], Task | str]) -> Answer:
        """The answer, or `INFRA` if we failed again and again."""
        for _ in range(_RETRIES + 1):
            try:
                task = attempt(item)
                return Answer(key, task) if isinstance(task, str) else self._proven(key, task)
            except InfraError:
                continue
        return Answer(key, INFRA)

    def _proven(self, key: str, task: Task) -> Answer:
        proof = prove(task, self.sandbox)
        if proof.ok:
            return Answer(key, "task", with_runner(task, proof))
        return Answer(key, f"unproven: {_kind(proof.why)}")


def _kind(why: str) -> str:
    """The proof's sentence without names, so that like ones are counted together."""
    return why.partition(":")[0]


def taken(answers: Iterator[tuple[Item, Answer]], most: int, tell: Callable[[int, int], None],
          ) -> Iterator[tuple[Item, Sequence[Task]]]:  # fmt: skip
    """Yield (item, its task or nothing) until `most` tasks are there; tells (tried, found)."""
    found = 0
    if most <= 0:
        return
    for tried, (item, answer) in enumerate(answers, 1):
        found += answer.task is not None
        tell(tried, found)
        yield item, [answer.task] if answer.task else []
        if found >= most:
            return

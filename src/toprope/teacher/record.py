"""Makes a recording: asks, judges, and writes each attempt down before the next.

Breadth first: one attempt at every task, then a second at those still unsolved. Resumable
at any instant, because what is on disk is never asked for again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from toprope.grading import Grader
from toprope.teacher.answers import AnswerBank
from toprope.teacher.judge import judge
from toprope.teacher.openai import Endpoint, Sampling
from toprope.teacher.prompt import messages
from toprope.teacher.protocol import Express, attempt_id
from toprope.teacher.question import ask, sampling_of
from toprope.teacher.rows import Answer, Recorder, Row
from toprope.terms import Outcome, Task


@dataclass(slots=True)
class Progress:
    """The counts of a recording while it grows."""

    attempts: int = 0
    passed: int = 0
    expressed: int = 0
    tokens: int = 0
    solved: int = 0

    def add(self, row: Row) -> None:
        """Count one row."""
        self.attempts += 1
        self.passed += row.outcome is Outcome.PASSED
        self.expressed += row.action is not None
        self.tokens += row.prompt_tokens + row.completion_tokens


@dataclass(frozen=True, slots=True)
class Work:
    """What is to be recorded, and with what."""

    teacher: str
    tasks: Sequence[Task]
    attempts: int
    stop_at_first: bool
    bank: AnswerBank
    grader: Grader
    express: Express
    endpoint: Endpoint | None = None
    concurrency: int = 4
    extra: Mapping[str, Any] = field(default_factory=dict)

    def sampling(self, task: Task, index: int) -> Sampling:
        """The settings of one attempt; `extra` holds for all of them."""
        usual = sampling_of(task.id, index)
        return Sampling.of({**usual.settings(), **self.extra})


def record(
    work: Work, recorder: Recorder, tell: Callable[[Progress], None] = lambda progress: None
) -> Progress:
    """Record what is missing and return the counts of all rows of these tasks.

    Without an endpoint only answers from the bank are judged and written.

    Raises:
        EndpointError: the endpoint gave up; what was recorded stays, so run it again.
    """
    progress = Progress()
    tasks = {task.id: task for task in work.tasks}
    kept = [row for row in recorder.rows if row.task_id in tasks and row.fits(tasks[row.task_id])]
    for row in kept:
        progress.add(row)
    done = {row.id for row in kept}
    solved = {row.task_id for row in kept if row.action is not None}
    for index in range(work.attempts):
        todo = [
            task
            for task in work.tasks
            if attempt_id(task.id, work.teacher, index) not in done
            and not (work.stop_at_first and task.id in solved)
        ]
        for task, answer in _answers(work, todo, index):
            row = _row(work, task, index, answer)
            recorder.add(row)
            progress.add(row)
            if row.action is not None:
                solved.add(task.id)
            progress.solved = len(solved)
            tell(progress)
    progress.solved = len(solved)
    return progress


def _answers(work: Work, tasks: Sequence[Task], index: int) -> Iterator[tuple[Task, Answer]]:
    """Each task's answer as it comes: those in the bank at once, the others asked for."""
    unasked = []
    for task in tasks:
        answer = work.bank.get(messages(task), index)
        if answer is None:
            unasked.append(task)
        else:
            yield task, answer
    if work.endpoint is not None:
        yield from _ask_all(work, work.endpoint, unasked, index)


def _ask_all(
    work: Work, endpoint: Endpoint, tasks: Sequence[Task], index: int
) -> Iterator[tuple[Task, Answer]]:
    """Keep `work.concurrency` questions in flight; few enough wait that a kill loses little."""
    waiting = iter(tasks)
    flying: dict[Future[Answer], Task] = {}
    with ThreadPoolExecutor(work.concurrency, "teacher") as pool:
        try:
            while True:
                for task in islice(waiting, work.concurrency - len(flying)):
                    sampling = work.sampling(task, index)
                    flying[pool.submit(ask, endpoint, messages(task), sampling)] = task
                if not flying:
                    return
                landed, _ = wait(flying, return_when=FIRST_COMPLETED)
                for future in landed:
                    yield flying.pop(future), future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _row(work: Work, task: Task, index: int, answer: Answer) -> Row:
    judged = judge(answer.text, task, work.grader, work.express)
    return Row(
        id=attempt_id(task.id, work.teacher, index),
        task_id=task.id,
        index=index,
        messages=answer.messages,
        text=answer.text,
        finish=answer.finish,
        prompt_tokens=answer.prompt_tokens,
        completion_tokens=answer.completion_tokens,
        sampling=answer.sampling,
        seconds=answer.seconds,
        server=answer.server,
        outcome=judged.outcome,
        why=judged.why,
        action=judged.action,
    )

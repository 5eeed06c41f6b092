"""Asks a model behind an endpoint for attempts, and judges each answer in the sandbox.

Keeps what it was given by attempt id, and each raw answer as it lands where `keep_in` says;
sets a call's worst case aside before it is made, and draws each attempt with a seed of its
own. It must not know the student, or what keeps its answers.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from typing import Any

from toprope.grading import Grader
from toprope.teacher.judge import judge
from toprope.teacher.openai import Endpoint, Sampling
from toprope.teacher.prompt import STOP, Messages, messages
from toprope.teacher.protocol import (
    Budget,
    BudgetExhausted,
    Express,
    Kept,
    Price,
    Purse,
    Spend,
    TeacherError,
    attempt_id,
)
from toprope.teacher.rows import Answer
from toprope.terms import Attempt, Task

GREEDY = Sampling(temperature=0.0, top_p=1.0, seed=0, max_tokens=400, stop=STOP)
VARIED = Sampling(temperature=0.8, top_p=0.95, seed=0, max_tokens=400, stop=STOP)


def sampling_of(task_id: str, index: int) -> Sampling:
    """The settings of an attempt: the first is greedy, later ones are drawn with own seeds."""
    if index == 0:
        return GREEDY
    digest = hashlib.sha256(f"{task_id}:{index}".encode()).digest()
    return replace(VARIED, seed=int.from_bytes(digest[:4], "big") >> 1)


def ask(endpoint: Endpoint, talk: Messages, sampling: Sampling) -> Answer:
    """Ask the endpoint and return its answer with the time that it took."""
    began = time.monotonic()
    reply = endpoint.chat(talk, sampling)
    return Answer(
        messages=talk,
        text=reply.text,
        finish=reply.finish,
        prompt_tokens=reply.prompt_tokens,
        completion_tokens=reply.completion_tokens,
        sampling=sampling.settings(),
        seconds=round(time.monotonic() - began, 3),
        server=reply.server,
    )


class LiveTeacher:
    """A model behind an OpenAI-compatible endpoint."""

    answer_key = False

    def __init__(
        self,
        endpoint: Endpoint,
        name: str,
        *,
        grader: Grader | None = None,
        express: Express | None = None,
        budget: Budget | None = None,
        price: Price | None = None,
        concurrency: int = 4,
        parameters: int | None = None,
    ) -> None:
        self.name = name
        self.parameters = parameters
        self.grader = grader
        self.express = express
        self.purse = Purse(budget)
        self._endpoint = endpoint
        self._price = price or Price()
        self._concurrency = concurrency
        self._given: dict[str, Attempt] = {}
        self._kept: Kept = dict[str, Any]()

    def keep_in(self, kept: Kept) -> None:
        """Keep answers there from now on; those that are there were paid and are not asked for."""
        self._kept = kept
        for answer in kept.values():
            self.purse.book(self._cost(Answer(**answer)))

    def attempts(self, task: Task, n: int, start: int = 0) -> list[Attempt]:
        """Attempts `start` to `start + n - 1`; those that were given before cost nothing.

        Raises:
            BudgetExhausted: not one of them could be afforded.
            EndpointError: the endpoint cannot be reached or read.
            TeacherError: no grader or no `express` was given.
        """
        if self.grader is None or self.express is None:
            raise TeacherError(
                "a live teacher's attempts must be verified and put into the student's form: "
                "give it a grader and express"
            )
        ids = {i: attempt_id(task.id, self.name, i) for i in range(start, start + n)}
        known = self._known(task, [i for i in ids if ids[i] not in self._given])
        missing = [i for i in ids if ids[i] not in self._given and i not in known]
        try:
            known |= self._ask_all(task, missing)
        except BudgetExhausted:
            if len(missing) == n:
                raise
        for index, answer in sorted(known.items()):
            self._given[ids[index]] = self._judged(task, index, answer, self.grader, self.express)
        return [self._given[name] for name in ids.values() if name in self._given]

    def _known(self, task: Task, indices: Sequence[int]) -> dict[int, Answer]:
        """The answers that an earlier process was given to these very questions."""
        found = {index: self._kept.get(self._key(task, index)) for index in indices}
        return {index: Answer(**answer) for index, answer in found.items() if answer is not None}

    def _key(self, task: Task, index: int) -> str:
        """The attempt's id with a hash of its question, should the task or settings change."""
        question = [messages(task), sampling_of(task.id, index).settings()]
        digest = hashlib.sha256(json.dumps(question, sort_keys=True).encode()).hexdigest()
        return f"{attempt_id(task.id, self.name, index)}:{digest[:16]}"

    def _ask_all(self, task: Task, indices: Sequence[int]) -> dict[int, Answer]:
        talk = messages(task)
        affordable: list[tuple[int, Spend]] = []
        for index in indices:
            worst = self._worst(talk, sampling_of(task.id, index))
            try:
                self.purse.reserve(worst)
            except BudgetExhausted:
                if not affordable:
                    raise
                break
            affordable.append((index, worst))
        with ThreadPoolExecutor(self._concurrency, "teacher") as pool:
            asked = {
                index: pool.submit(self._ask_one, task, index, worst) for index, worst in affordable
            }
        return {index: future.result() for index, future in asked.items()}

    def _ask_one(self, task: Task, index: int, worst: Spend) -> Answer:
        actual = Spend(calls=1)
        try:
            answer = ask(self._endpoint, messages(task), sampling_of(task.id, index))
            actual = self._cost(answer)
            self._kept[self._key(task, index)] = asdict(answer)
            return answer
        finally:
            self.purse.settle(worst, actual)

    def _cost(self, answer: Answer) -> Spend:
        tokens = answer.prompt_tokens + answer.completion_tokens
        return Spend(1, tokens, self._price.of(answer.prompt_tokens, answer.completion_tokens))

    def _worst(self, talk: Messages, sampling: Sampling) -> Spend:
        """The most a call can cost: no tokenizer makes more tokens than there are bytes."""
        size = sum(len(turn["content"].encode()) + 16 for turn in talk)
        cost = self._price.of(size, sampling.max_tokens)
        return Spend(1, size + sampling.max_tokens, cost)

    def _judged(
        self, task: Task, index: int, answer: Answer, grader: Grader, express: Express
    ) -> Attempt:
        judged = judge(answer.text, task, grader, express)
        return Attempt(
            id=attempt_id(task.id, self.name, index),
            task_id=task.id,
            teacher=self.name,
            prompt=json.dumps(messages(task), ensure_ascii=False),
            text=answer.text,
            prompt_tokens=answer.prompt_tokens,
            completion_tokens=answer.completion_tokens,
            outcome=judged.outcome,
            why=judged.why,
            action=judged.action,
            cost_usd=self._price.of(answer.prompt_tokens, answer.completion_tokens),
        )

"""Asks a model behind an endpoint for attempts, and judges each answer in the sandbox.

Keeps what it was given by attempt id, and each raw answer as it lands where `keep_in` says;
what some run paid for before is taken from the cache; a call's worst case is set aside before
it is made. A question that gets no answer is an attempt of outcome `infra`, never an exception.
It must not know the student, or what keeps its answers.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from toprope.grading import Grader
from toprope.teacher.account import Account, Ticket
from toprope.teacher.cache import AttemptCache, Cached
from toprope.teacher.judge import judge
from toprope.teacher.openai import Endpoint, EndpointError, Sampling
from toprope.teacher.outage import Outage
from toprope.teacher.prompt import Messages, messages
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
from toprope.teacher.question import (
    ANSWER_TOKENS,
    cache_key,
    sampling_of,
    task_hash,
)
from toprope.teacher.rows import Answer
from toprope.teacher.speaking import Said, Speaker
from toprope.teacher.till import Till
from toprope.terms import Attempt, Outcome, Task


@dataclass(frozen=True, slots=True)
class Given:
    """An answer, and whether it came out of the cache and so cost nothing."""

    answer: Answer
    cached: bool = False


class LiveTeacher:
    """A model behind an OpenAI-compatible endpoint.

    `identity` is what names the model in the cache, beside its settings. `answer_tokens`
    bounds one answer, hidden reasoning included.
    """

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
        answer_tokens: int = ANSWER_TOKENS,
        cache: AttemptCache | None = None,
        identity: dict[str, str] | None = None,
    ) -> None:
        self.name = name
        self.parameters = parameters
        self.grader = grader
        self.express = express
        self._account = Account(budget)
        self._endpoint = endpoint
        self._price = price or Price()
        self._till = Till(endpoint, self._account, self._price)
        self._concurrency = concurrency
        self._answer_tokens = answer_tokens
        self._cache = cache
        self._identity = identity or {"model": endpoint.model}
        self._outage = Outage()
        self._given: dict[str, Attempt] = {}
        self._kept: Kept = dict[str, Any]()
        self._speaker = Speaker(self._till, self._outage, answer_tokens)

    @property
    def purse(self) -> Purse:
        """What may be spent and what was, over all the processes of a run."""
        return self._account.purse

    @property
    def ended(self) -> str:
        """Why it gives no more now: "budget", "unreachable", or "" while it does."""
        if self.purse.refused:
            return "budget"
        return "unreachable" if self._outage.why else ""

    def keep_in(self, kept: Kept) -> None:
        """Keep answers there from now on; those that are there were paid and are not asked for."""
        self._kept = kept
        self._account.keep_in(kept)
        self._speaker.keep_in(kept)

    def say(self, key: str, talk: Messages, number: int) -> Said | None:
        """The next turn of a talk over turns, see `Speaks`."""
        return self._speaker.say(key, talk, number)

    def attempts(self, task: Task, n: int, start: int = 0) -> list[Attempt]:
        """Attempts `start` to `start + n - 1`; those that were given before cost nothing.

        A question that was asked in vain is an attempt of outcome `infra`; asked for again, it
        is asked again. While the endpoint counts as gone it gives none but known ones.

        Raises:
            BudgetExhausted: not one of them could be afforded.
            TeacherError: no grader or no `express` was given.
        """
        if self.grader is None or self.express is None:
            raise TeacherError(
                "a live teacher's attempts must be verified and put into the student's form: "
                "give it a grader and express"
            )
        ids = {i: attempt_id(task.id, self.name, i) for i in range(start, start + n)}
        wanted = [i for i in ids if ids[i] not in self._given]
        found = {i: given for i in wanted if (given := self._known(task, i)) is not None}
        missing = [i for i in wanted if i not in found]
        lost: dict[int, str] = {}
        try:
            self._ask_all(task, missing, found, lost)
        except BudgetExhausted:
            if not found and not lost and len(wanted) == n:
                raise
        for index, given in sorted(found.items()):
            self._given[ids[index]] = self._judged(task, index, given, self.grader, self.express)
        vain = {ids[i]: self._vain(task, i, why) for i, why in lost.items()}
        return [(self._given | vain)[i] for i in ids.values() if i in self._given or i in vain]

    def _known(self, task: Task, index: int) -> Given | None:
        """The answer that an earlier process, or another run, was given to this very question."""
        kept = self._kept.get(self._key(task, index))
        if kept is not None:
            return Given(Answer(**kept["answer"]), kept["cached"])
        return self._from_cache(task, index)

    def _from_cache(self, task: Task, index: int) -> Given | None:
        if self._cache is None:
            return None
        key = self._cache_key(task, index)
        found = self._cache.get(key)
        if found is None:
            return None
        try:
            answer = Answer(**json.loads(found.answer))
        except (ValueError, TypeError, RecursionError):
            return None  # a row that somebody changed
        if not isinstance(answer.text, str):
            return None
        answer = replace(
            answer,
            prompt_tokens=found.prompt_tokens,
            completion_tokens=found.completion_tokens,
        )
        self._cache.reuse(key, task.split.value)
        return self._keep(task, index, Given(answer, cached=True))

    def _keep(self, task: Task, index: int, given: Given) -> Given:
        self._kept[self._key(task, index)] = {
            "answer": asdict(given.answer),
            "cached": given.cached,
        }
        return given

    def _key(self, task: Task, index: int) -> str:
        """The attempt's id with a hash of its question, should the task or settings change."""
        question = [messages(task), self._sampling(task, index).settings()]
        digest = hashlib.sha256(json.dumps(question, sort_keys=True).encode()).hexdigest()
        return f"{attempt_id(task.id, self.name, index)}:{digest[:16]}"

    def _cache_key(self, task: Task, index: int) -> str:
        return cache_key(task, index, self._sampling(task, index), self._identity)

    def _sampling(self, task: Task, index: int) -> Sampling:
        return sampling_of(task.id, index, self._answer_tokens)

    def _ask_all(
        self, task: Task, indices: Sequence[int], found: dict[int, Given], lost: dict[int, str]
    ) -> None:
        """Ask for what can be afforded; answers go into `found`, what came to nothing to `lost`.

        Raises:
            BudgetExhausted: some of it could not be afforded.
        """
        if self._outage.lasts or not indices:
            return
        tickets: dict[int, Ticket] = {}
        short: BudgetExhausted | None = None
        for index in indices:
            try:
                tickets[index] = self._till.reserve(messages(task), self._sampling(task, index))
            except BudgetExhausted as error:
                short = error
                break
        with ThreadPoolExecutor(self._concurrency, "teacher") as pool:
            asked = {
                index: pool.submit(self._ask_one, task, index, ticket)
                for index, ticket in tickets.items()
            }
        for index, future in asked.items():
            try:
                found[index] = future.result()
            except (EndpointError, BudgetExhausted) as error:
                lost[index] = str(error)
                short = error if isinstance(error, BudgetExhausted) else short
        if short is not None:
            raise short

    def _ask_one(self, task: Task, index: int, ticket: Ticket) -> Given:
        """Ask one question, or take what another run was given to it meanwhile."""
        first: list[Ticket] = [ticket]
        try:
            claim = self._cache.claim(self._cache_key(task, index)) if self._cache else None
            with claim or nullcontext():
                if (given := self._from_cache(task, index)) is not None:
                    return given
                answer = self._till.answer(messages(task), self._sampling(task, index), first)
                given = self._keep(task, index, Given(answer))
                self._put(task, index, answer)
        except EndpointError as error:
            self._outage.lost(str(error), refused=error.refused)
            raise
        finally:
            for unused in first:
                unused.settle(Spend())
        self._outage.answered()
        return given

    def _put(self, task: Task, index: int, answer: Answer) -> None:
        """Let other runs have it too."""
        if self._cache is None:
            return
        cost = self._till.cost(answer).usd if self._price.known else None
        self._cache.put(
            Cached(
                key=self._cache_key(task, index),
                task_hash=task_hash(task),
                task_id=task.id,
                split=task.split.value,
                source=json.dumps(asdict(task.source), ensure_ascii=False),
                teacher=self.name,
                place=self._endpoint.url,
                number=index,
                answer=json.dumps(asdict(answer), ensure_ascii=False),
                prompt_tokens=answer.prompt_tokens,
                completion_tokens=answer.completion_tokens,
                cost_usd=cost,
                asked_at=datetime.now(UTC).isoformat(timespec="seconds"),
            )
        )

    def _judged(
        self, task: Task, index: int, given: Given, grader: Grader, express: Express
    ) -> Attempt:
        answer = given.answer
        judged = judge(answer.text, task, grader, express)
        if self._cache is not None:
            self._cache.judged(self._cache_key(task, index), judged.outcome.value, judged.why)
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
            cost_usd=0.0 if given.cached else self._till.cost(answer).usd,
            cached=given.cached,
        )

    def _vain(self, task: Task, index: int, why: str) -> Attempt:
        """The attempt that was asked for and not given; under an id that no answer has."""
        empty = Attempt(
            id="", task_id=task.id, teacher=self.name, prompt="", text="", prompt_tokens=0,
            completion_tokens=0, outcome=Outcome.INFRA, why=why, action=None,
        )  # fmt: skip
        return replace(empty, id=f"{attempt_id(task.id, self.name, index)}:lost")

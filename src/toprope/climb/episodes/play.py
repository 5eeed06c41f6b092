"""Plays episodes: prompts → samples → actions → verdicts, all by episode id.

Grades are journalled as they arrive, so an episode that was graded before a kill is not
graded again. Knows nothing of states or of learning.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from toprope.climb.episodes.actions import read_action
from toprope.climb.episodes.graded import Grading, Wanted, grading
from toprope.climb.episodes.journal import Journal
from toprope.climb.meters import Meters, Shape
from toprope.grading import Grader
from toprope.harness.dialect import Dialect
from toprope.harness.encode import draft_ids, prompt_ids
from toprope.policy.asks import Ask, Ended, Sampler, Work
from toprope.terms import Completion, Episode, Mode, Outcome, Task, Verdict


@dataclass(frozen=True, slots=True)
class Plan:
    """Draws wanted of one task. Episode ids are `purpose/iteration/task/draw`.

    With `common` the n-th draw of a task has the same random numbers at whatever point of the
    run it is made, so that most of their noise is gone from the difference between two points
    (common random numbers).

    `shown` is help that is added to the prompt; `begun` are tokens of an answer that the
    episode goes on from: they stand in its prompt, and so in no loss.
    """

    task: Task
    purpose: str
    draws: int
    first: int = 0
    common: bool = False
    shown: str = ""
    begun: tuple[int, ...] = ()

    def episode_ids(self, iteration: int) -> tuple[str, ...]:
        """Return the ids of the planned episodes."""
        return tuple(
            f"{self.purpose}/{iteration}/{self.task.id}/{draw}"
            for draw in range(self.first, self.first + self.draws)
        )

    def numbers(self) -> tuple[str, ...]:
        """Return the names of the episodes' random numbers; none where the ids name them."""
        if not self.common:
            return ()
        draws = range(self.first, self.first + self.draws)
        return tuple(f"common/{self.task.id}/{draw}" for draw in draws)


class Plays(Protocol):
    """Whoever turns plans into episodes, whatever its dialect."""

    meters: Meters
    grader: Grader

    def play(
        self,
        plans: Sequence[Plan],
        *,
        iteration: int,
        version: int,
        mode: Mode = Mode.PLAIN,
        rung: str = "",
        phase: str = "sample",
        temperature: float = 1.0,
    ) -> list[list[Episode]]:
        """Return the episodes of each plan, in order, token-exact and graded."""

    def regrade(self, pairs: Sequence[tuple[Task, Episode]]) -> list[bool | None]:
        """Return whether each passed episode passes in a fresh sandbox again; None: ours failed."""


@dataclass
class Player:
    """Plays episodes of tasks with a sampler and a grader, in one dialect.

    With `overlap` an episode is graded from when it ends, while others are still sampled. That
    moves time and nothing else: tokens, verdicts, their order and the journal are the same.
    """

    dialect: Dialect
    tokenizer: Any
    sampler: Sampler
    grader: Grader
    ledger: Journal
    meters: Meters
    shape: Shape
    overlap: bool = False

    def play(
        self,
        plans: Sequence[Plan],
        *,
        iteration: int,
        version: int,
        mode: Mode = Mode.PLAIN,
        rung: str = "",
        phase: str = "sample",
        temperature: float = 1.0,
    ) -> list[list[Episode]]:
        """Return the episodes of each plan, in order, token-exact and graded."""
        granted = mode is Mode.GRANTED
        asks = [self._ask(plan, iteration, granted) for plan in plans]
        with grading(self.grader, self.ledger) as grades:
            ended = self._handing_in(grades, plans, asks) if self.overlap else None
            with self.meters.phase(phase):
                completions = self._sample(asks, version, temperature, granted, ended)
                count_draws(self.meters, self.shape, self.sampler, phase, asks, completions)
                self.meters.count(phase, episodes=len(completions))
            with self.meters.phase("grade"):
                drawn = self._judged(grades, plans, asks, completions)
        return [
            [
                Episode(
                    id=completion.episode_id,
                    task_id=plan.task.id,
                    version=version,
                    mode=mode,
                    rung=rung,
                    prompt_ids=ask.prompt_ids,
                    sampled_ids=completion.ids,
                    logprobs=completion.logprobs,
                    text=self._text(plan, completion),
                    stop=completion.stop,
                    verdict=verdict,
                )
                for completion, verdict in (drawn[episode] for episode in ask.episode_ids)
            ]
            for plan, ask in zip(plans, asks, strict=True)
        ]

    def _ask(self, plan: Plan, iteration: int, granted: bool) -> Ask:
        """Return what is asked of the sampler; a begun answer is the prompt's end.

        One that has left the draft already goes on without it.
        """
        tokenizer, dialect, begun = self.tokenizer, self.dialect, plan.begun
        prompt = prompt_ids(tokenizer, dialect, plan.task, granted=granted, shown=plan.shown)
        draft, held = draft_ids(tokenizer, dialect, plan.task)
        follows = draft[: len(begun)] == begun
        return Ask(
            prompt + begun,
            plan.episode_ids(iteration),
            draft[len(begun) :] if follows else (),
            max(0, held - len(begun)) if follows else 0,
            numbers=plan.numbers(),
            begun="" if dialect.DRAFTED else tokenizer.decode(begun),
        )

    def _sample(
        self,
        asks: list[Ask],
        version: int,
        temperature: float,
        constrain: bool,
        ended: Ended | None,
    ) -> list[Completion]:
        """Sample what follows a draft and what does not, each by itself."""
        parts = [ask for ask in asks if ask.draft_ids], [ask for ask in asks if not ask.draft_ids]
        return [
            completion
            for part in parts
            if part
            for completion in self.sampler.sample(
                part, version=version, temperature=temperature, constrain=constrain, ended=ended
            )
        ]

    def _text(self, plan: Plan, completion: Completion) -> str:
        ids = plan.begun + completion.ids
        text: str = self.tokenizer.decode(ids, skip_special_tokens=True)
        return self.dialect.ended(text, plan.task)

    def _handing_in(self, grades: Grading, plans: Sequence[Plan], asks: Sequence[Ask]) -> Ended:
        """Return what has an episode graded as it ends."""
        plan_of = {e: p for p, ask in zip(plans, asks, strict=True) for e in ask.episode_ids}
        return lambda done: self._hand_in(grades, [(plan_of[done.episode_id], done)])

    def _judged(
        self,
        grades: Grading,
        plans: Sequence[Plan],
        asks: Sequence[Ask],
        completions: Sequence[Completion],
    ) -> dict[str, tuple[Completion, Verdict]]:
        """Return each completion with its verdict, by episode; hands in what was not so far."""
        by_id = {completion.episode_id: completion for completion in completions}
        pairs = [(p, by_id[e]) for p, a in zip(plans, asks, strict=True) for e in a.episode_ids]
        self._hand_in(grades, pairs)
        verdicts = grades.verdicts([_key(completion) for _, completion in pairs])
        return {c.episode_id: (c, v) for (_, c), v in zip(pairs, verdicts, strict=True)}

    def _hand_in(self, grades: Grading, pairs: Sequence[tuple[Plan, Completion]]) -> None:
        """Have well-formed answers graded that were not handed in yet; settle the others."""
        wanted: list[Wanted] = []
        for plan, completion in pairs:
            key = _key(completion)
            if key in grades:
                continue
            task, text = plan.task, self._text(plan, completion)
            read = read_action(self.dialect, task, text, completion.stop)
            if isinstance(read, Verdict):
                grades.settle(key, read)
            else:
                wanted.append((key, task, read))
        grades.begin(wanted)

    def regrade(self, pairs: Sequence[tuple[Task, Episode]]) -> list[bool | None]:
        """Return whether each passed episode passes in a fresh sandbox again; None: ours failed."""
        with self.meters.phase("grade"):
            items = [(e.id, task, self.dialect.parse(e.text, task)) for task, e in pairs]
            return passes_again(self.grader, items)


def _key(completion: Completion) -> str:
    """Return the journal's key: the episode and what it sampled, should that ever differ."""
    sampled = hashlib.sha256(repr(completion.ids).encode()).hexdigest()[:16]
    return f"{completion.episode_id}:{sampled}"


def passes_again(
    grader: Grader, items: Sequence[tuple[str, Task, Mapping[str, str]]]
) -> list[bool | None]:
    """Return whether (id, task, changes) pass in fresh sandboxes; None where we failed."""
    outcomes = [verdict.outcome for verdict in grader.grade_many(items, fresh=True)]
    return [None if o is Outcome.INFRA else o is Outcome.PASSED for o in outcomes]


def count_draws(
    meters: Meters,
    shape: Shape,
    sampler: Sampler,
    phase: str,
    asks: Sequence[Ask],
    completions: Sequence[Completion],
) -> None:
    """Book under a phase what a sampler computed for these asks; an episode's end is not known."""
    prompt = sum(len(ask.prompt_ids) + len(ask.draft_ids) for ask in asks)
    work, sampler.work = sampler.work, Work()
    meters.count(
        phase,
        processed_tokens=prompt + sum(map(_fed_back, completions)),
        sampled_tokens=sum(len(completion.ids) for completion in completions),
        flops=shape.forward(work.positions, work.pairs, work.logits),
    )


def _fed_back(completion: Completion) -> int:
    """Return how many sampled tokens went through the model: not copies, and not the last."""
    return max(0, len(completion.ids) - completion.copied - 1)

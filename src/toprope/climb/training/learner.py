"""The learner of a climb: groups and demonstrations in, optimiser steps and a new version out.

Turns episodes into packed rows and books what the steps used. Which episodes, and why, is
the loop's business.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from toprope.climb.config import ClimbConfig
from toprope.climb.meters import Meters, Shape
from toprope.climb.training.fitting import Fitting
from toprope.climb.training.health import Health
from toprope.harness.dialect import DIALECTS
from toprope.harness.encode import answer_ids, departure, prompt_ids
from toprope.harness.turns.stream import laid_out
from toprope.ladder.rung import Demonstration
from toprope.learn.advantage import rloo
from toprope.learn.fit import Fit
from toprope.learn.optimiser import MasterAdam
from toprope.learn.packing import GroupRow
from toprope.learn.step import StepReport, learn_demonstrations, learn_groups
from toprope.policy.adapters import merged_weights
from toprope.policy.device import on_device
from toprope.policy.randomness import episode_uniforms
from toprope.policy.tensorfile import Writable
from toprope.terms import Episode, Outcome

ADAPTER = "adapter/"


def graded(episode: Episode) -> float:
    """Return an episode's reward: its grade's."""
    return episode.verdict.reward


def tossed(chance: float, seed: int) -> Callable[[Episode], float]:
    """Return rewards that say nothing: 1 with this chance, by a coin of each episode's own.

    A control: what such a run gains, the grades of another did not teach.
    """
    return lambda e: float(episode_uniforms(seed, f"coin/{e.id}", 1)[0] < chance)


def group_row(
    group: Sequence[Episode], reward: Callable[[Episode], float] = graded
) -> GroupRow | None:
    """Return a group as a packed row with its RLOO advantages, or None if it teaches nothing.

    Episodes lost to infrastructure drop out first; fewer than two left, or exactly equal
    rewards, give no gradient.
    """
    kept = [e for e in group if e.verdict.outcome is not Outcome.INFRA]
    rewards = [reward(e) for e in kept]
    if len(kept) < 2 or all(reward == rewards[0] for reward in rewards):
        return None
    laid = [laid_out(e.sampled_ids, e.logprobs, e.observed) for e in kept]
    over_turns = any(e.observed for e in kept)
    return GroupRow(
        prompt_ids=kept[0].prompt_ids,
        completions=tuple(one.ids for one in laid),
        advantages=tuple(rloo(rewards)),
        sampler_logprobs=tuple(one.logprobs for one in laid),
        own=tuple(one.own for one in laid) if over_turns else None,
    )


class Learner:
    """Owns the optimiser of the policy that climbs."""

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        config: ClimbConfig,
        meters: Meters,
        shape: Shape,
        exact: Mapping[str, torch.Tensor] | None = None,
    ) -> None:
        self.model, self.tokenizer, self.config = model, tokenizer, config
        self.dialect = DIALECTS[config.student.dialect]
        self.meters, self.shape = meters, shape
        self.optimiser = MasterAdam(model, exact=exact)
        most = config.student.most_train_tokens
        first = Fit(most, pairs_per_token=shape.pairs_per_token)
        self.fitting = Fitting(first, model, self.optimiser, meters)
        self.health = Health()
        coin = config.climbing.coin
        self.reward = tossed(coin, config.seed) if coin else graded

    def imitate(self, demonstrations: Sequence[Demonstration], *, seed: int) -> list[StepReport]:
        """Take the supervised steps of a seeding: `epochs` shuffled passes, small batches."""
        settings = self.config.seeding
        rows = [self._demonstration_row(demo) for demo in demonstrations]
        order = random.Random(seed)
        batches = [
            batch
            for _ in range(settings.epochs)
            for batch in _batches(order.sample(rows, len(rows)), settings.batch)
        ]
        reports = []
        with self.meters.phase("seed"), on_device(self.model), self.optimiser.fresh():
            for at, batch in enumerate(batches):
                rate = settings.learning_rate * _ramp(at, len(batches))
                reports.append(self._imitate(batch, rate))
        return reports

    def own_tokens(self, demo: Demonstration) -> int:
        """Return how many tokens of a demonstration a pass over it learns from."""
        return self._demonstration_row(demo).own_tokens

    def _imitate(self, batch: Sequence[GroupRow], rate: float) -> StepReport:
        report = self.fitting.take(
            batch,
            lambda fit: learn_demonstrations(
                self.model, self.optimiser, batch, learning_rate=rate, fit=fit
            ),
        )
        self._count("seed", report)
        return report

    def _demonstration_row(self, demo: Demonstration) -> GroupRow:
        """Return a demonstration as a row in which the departing token counts most.

        The others copy: left at equal weight they teach to change nothing. Over turns nothing
        is copied, and all own tokens count the same.
        """
        tokenizer, dialect, task = self.tokenizer, self.dialect, demo.task
        if demo.turns is not None:
            ids, own, _ = demo.turns
            return GroupRow(demo.prompt_ids, (ids,), (1.0,), own=(own,))
        ids = demo.ids or answer_ids(tokenizer, dialect, task, demo.action)
        weights = [1.0] * len(ids)
        decisive = departure(tokenizer, dialect, task, demo.action, ids)
        weights[decisive] = self.config.seeding.departure_weight
        prompt = prompt_ids(tokenizer, dialect, task)
        return GroupRow(prompt, (ids,), (1.0,), token_weights=(tuple(weights),))

    def reinforce(
        self, groups: Sequence[Sequence[Episode]], *, step: int, phase: str = "train"
    ) -> StepReport | None:
        """Take one RL step on the groups that teach something; None if none does.

        A report that says `skipped` is of a step that was not taken.
        """
        settings, turns = self.config.climbing, self.config.turns
        drawn = sum(len(group) for group in groups)
        rows = [row for group in groups if (row := group_row(group, self.reward)) is not None]
        rows = rows[: settings.most_groups]
        if not rows:
            return None
        warm = min(1.0, (step + 1) / max(1, settings.warmup))
        with self.meters.phase(phase), on_device(self.model):
            report = self.fitting.take(
                rows,
                lambda fit: learn_groups(
                    self.model,
                    self.optimiser,
                    rows,
                    learning_rate=settings.learning_rate * warm,
                    episodes=drawn,
                    token_limit=turns.tokens if turns.dialect else self.config.student.max_tokens,
                    fit=fit,
                ),
            )
        self._count(phase, report)
        return report

    def saved(self) -> tuple[Mapping[str, Writable], dict[str, torch.Tensor]]:
        """Return (whole weights under the model's names, what else resuming needs).

        With adapters the weights are merged, for whoever loads the checkpoint, and the
        adapters themselves travel with the moments.
        """
        own, moments = self.optimiser.named_weights(), self.optimiser.moments()
        if not self.config.student.lora_rank:
            return own, moments
        adapters = {f"{ADAPTER}{name}": value for name, value in own.items()}
        return merged_weights(self.model), {**moments, **adapters}

    def restore(
        self, weights: Mapping[str, torch.Tensor], state: Mapping[str, torch.Tensor]
    ) -> None:
        """Take over what `saved` returned."""
        adapters = {k.removeprefix(ADAPTER): v for k, v in state.items() if k.startswith(ADAPTER)}
        moments = {k: v for k, v in state.items() if not k.startswith(ADAPTER)}
        self.optimiser.load(adapters or weights, moments)

    def _count(self, phase: str, report: StepReport) -> None:
        self.meters.count(
            phase,
            processed_tokens=report.processed_tokens,
            trained_tokens=report.own_tokens,
            flops=self.shape.training(
                report.positions,
                report.pairs,
                report.logits,
                layers_again=report.checkpointed,
            ),
        )
        self.health.count(phase, report.skipped)


def _batches(rows: Sequence[GroupRow], size: int) -> list[Sequence[GroupRow]]:
    return [rows[at : at + size] for at in range(0, len(rows), size)]


def _ramp(at: int, steps: int) -> float:
    """Return the share of the learning rate: two steps up, then down to a tenth in a line."""
    if at < 2:
        return (at + 1) / 3
    return 1.0 - 0.9 * (at - 2) / max(1, steps - 2)

"""Carries out rung 7: plain groups are held against a white-box teacher and learned from.

The teacher reads what the student sampled, so what it costs is tokens read. Its reading is
booked under the phase `teacher`, the steps under `seed`: its distributions enter the loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from toprope.climb.meters import Shape
from toprope.climb.training.learner import Learner
from toprope.learn.distil import DistilReport, learn_distributions
from toprope.learn.packing import GroupRow
from toprope.ledger.accounts import tokens_read
from toprope.ledger.store import Ledger
from toprope.policy.device import on_device
from toprope.terms import Episode, Outcome


@dataclass(frozen=True, slots=True)
class Read:
    """What became of a group: `nats` an answer apart before its step, tokens read and learned."""

    nats: float
    teacher_tokens: int
    own_tokens: int


def own_row(group: Sequence[Episode]) -> GroupRow | None:
    """Return what a group sampled as a row that learns from all of it; None if all was lost."""
    kept = [e for e in group if e.verdict.outcome is not Outcome.INFRA and e.sampled_ids]
    if not kept:
        return None
    return GroupRow(
        prompt_ids=kept[0].prompt_ids,
        completions=tuple(e.sampled_ids for e in kept),
        advantages=(1.0,) * len(kept),
    )


class Distiller:
    """Holds groups against the teacher, within its limit of tokens."""

    def __init__(self, learner: Learner, target: Any, ledger: Ledger) -> None:
        self.learner, self.target, self.ledger = learner, target, ledger
        self.shape = Shape.of(target)
        self.most = learner.config.teacher.max_tokens

    def may_read(self) -> bool:
        """Return whether the limit leaves anything; `teacher.max_tokens` 0 is none."""
        return not self.most or tokens_read(self.ledger.db) < self.most

    def learn(self, groups: Sequence[Sequence[Episode]]) -> list[Read | None]:
        """Take a step on each group, in order; None for one that is lost or beyond the limit.

        They have moments of their own, as seeds have: a divergence is not on the scale of RL.
        """
        read = tokens_read(self.ledger.db)
        found: list[Read | None] = []
        with self.learner.optimiser.fresh():
            for group in groups:
                row = own_row(group)
                if row is None or (self.most and read + row.width > self.most):
                    found.append(None)
                    continue
                report = self._step(row)
                read += report.processed_tokens
                nats = report.divergence * report.own_tokens / len(row.completions)
                found.append(Read(nats, report.processed_tokens, report.own_tokens))
        return found

    def _step(self, row: GroupRow) -> DistilReport:
        learner = self.learner
        with learner.meters.phase("seed"), on_device(learner.model):
            report = learner.fitting.take(
                [row],
                lambda fit: learn_distributions(
                    learner.model,
                    self.target,
                    learner.optimiser,
                    [row],
                    learning_rate=learner.config.climbing.learning_rate,
                    token_limit=learner.config.student.max_tokens,
                    fit=fit,
                ),
            )
        computed = report.positions, report.pairs, report.logits
        learner.meters.count(
            "seed",
            processed_tokens=report.processed_tokens,
            trained_tokens=report.own_tokens,
            flops=learner.shape.training(
                *computed, logits_again=False, layers_again=report.checkpointed
            ),
        )
        learner.meters.count(
            "teacher",
            processed_tokens=report.processed_tokens,
            flops=self.shape.forward(*computed),
        )
        learner.health.count("seed", report.skipped)
        return report

"""A step towards another model's distributions, on what the policy sampled itself.

Groups of equal reward have this gradient, too. It must not know whose distributions they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from toprope.learn.divergence import reverse_kl
from toprope.learn.fit import DEFAULT_FIT, Fit, checkpointed
from toprope.learn.optimiser import MasterAdam
from toprope.learn.packing import GroupRow, Packed, pack
from toprope.learn.step import descend, own_states, take_step


@dataclass(frozen=True, slots=True)
class DistilReport:
    """What a step did: `divergence` in nats an own token, before it, and what was computed.

    `positions`, `pairs`, `logits`, `checkpointed` and `skipped` are as in `StepReport`, and the
    counts are the same for both models.
    """

    loss: float
    divergence: float
    grad_norm: float
    processed_tokens: int
    own_tokens: int
    positions: int
    pairs: int
    logits: int
    checkpointed: bool = False
    skipped: str = ""


def contexts(packed: Packed) -> tuple[torch.Tensor, torch.Tensor]:
    """Return each predicting state once (T,), and how many own tokens were drawn from it (T,).

    A distribution is a matter of the state alone: the different tokens that completions have
    after it do not make it count in more than one place.
    """
    source_T, where = torch.unique(packed.source_T, return_inverse=True)
    counts_T = torch.zeros(len(source_T), device=source_T.device)
    return source_T, counts_T.index_add_(0, where, packed.weights_T)


def learn_distributions(
    model: Any,
    target: Any,
    optimiser: MasterAdam,
    rows: Sequence[GroupRow],
    *,
    learning_rate: float,
    token_limit: int,
    fit: Fit = DEFAULT_FIT,
) -> DistilReport:
    """Take one step down 1/(N*L) * sum_t KL(model || target) over the own tokens of `rows`.

    N counts the completions and L is a constant, as in `policy_loss`. `target` is read and
    never changed; its part is computed without gradient, in its own precision.
    """
    model.train()
    scale = sum(len(row.completions) for row in rows) * token_limit
    total, processed, positions, pairs, logits = 0.0, 0, 0, 0, 0
    with checkpointed(model, fit.checkpointing):
        for piece in fit.pieces(rows):
            packed = pack(piece)
            source_T, counts_T = contexts(packed)
            summed = _apart(model, target, packed, source_T, counts_T)
            total += descend(summed / scale, optimiser)
            B, D = packed.input_ids.shape
            processed += sum(row.width for row in piece)
            positions, pairs, logits = positions + B * D, pairs + B * D * D, logits + len(source_T)
    own = sum(row.own_tokens for row in rows)
    norm, skipped = take_step(optimiser, total, learning_rate)
    nats = total * scale / own
    return DistilReport(
        total, nats, norm, processed, own, positions, pairs, logits, fit.checkpointing, skipped
    )


def _apart(
    model: Any, target: Any, packed: Packed, source_T: torch.Tensor, counts_T: torch.Tensor
) -> torch.Tensor:
    """Return the divergence of a piece in nats, summed over its own tokens."""
    with torch.inference_mode():
        aimed_at = own_states(target, packed, source_T)
    summed, _ = reverse_kl(
        own_states(model, packed, source_T),
        model.lm_head.weight,
        aimed_at,
        target.lm_head.weight,
        counts_T,
    )
    return summed

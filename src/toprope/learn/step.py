"""One optimiser step from packed rows: RL episodes or demonstrations, never both at once.

Each kind has its own normalisation and its own optimiser state; what they share is the
forward pass over packed rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import isfinite, nan
from typing import Any

import torch

from toprope.learn.fit import DEFAULT_FIT, Fit, checkpointed
from toprope.learn.head import token_logprobs
from toprope.learn.loss import demonstration_loss, mismatch_weights, policy_loss
from toprope.learn.optimiser import MasterAdam
from toprope.learn.packing import GroupRow, Packed, pack


@dataclass(frozen=True, slots=True)
class StepReport:
    """What a step did: tokens processed and trained on, norms, and the engines' mismatch.

    `positions`, `pairs` and `logits` are what was computed: tokens with their padding,
    query-key pairs of one layer and head, and predictions, shared ones once. `skipped` says
    why no step was taken, where loss or gradient were not finite: the weights are untouched.
    """

    loss: float
    grad_norm: float
    processed_tokens: int
    own_tokens: int
    positions: int = 0
    pairs: int = 0
    logits: int = 0
    weight_mean: float = 1.0
    weight_max: float = 1.0
    mismatch_kl: float = 0.0
    checkpointed: bool = False
    skipped: str = ""


@dataclass(slots=True)
class _Work:
    """The counts of a `StepReport` that grow piece by piece."""

    processed_tokens: int = 0
    positions: int = 0
    pairs: int = 0
    logits: int = 0

    def add(self, piece: Sequence[GroupRow], packed: Packed) -> None:
        B, D = packed.input_ids.shape
        self.processed_tokens += sum(row.width for row in piece)
        self.positions += B * D
        self.pairs += B * D * D
        self.logits += len(packed.target_T)


def own_states(model: Any, packed: Packed, source_T: torch.Tensor) -> torch.Tensor:
    """Return the final hidden states (T, D) at flat indices into a packed batch."""
    hidden = model.model(
        input_ids=packed.input_ids,
        position_ids=packed.position_ids,
        attention_mask=packed.mask,
        use_cache=False,
    ).last_hidden_state
    states: torch.Tensor = hidden.reshape(-1, hidden.shape[-1]).index_select(0, source_T)
    return states


def own_logprobs(model: Any, packed: Packed) -> torch.Tensor:
    """Return the log-probabilities (T,) of the own tokens of a packed batch."""
    states = own_states(model, packed, packed.source_T)
    return token_logprobs(states, model.lm_head.weight, packed.target_T)


def descend(loss: torch.Tensor, optimiser: MasterAdam) -> float:
    """Add the gradient of a piece to that of the step; return the piece's loss."""
    loss.backward()
    optimiser.collect()
    return float(loss.detach())


def take_step(optimiser: MasterAdam, loss: float, learning_rate: float) -> tuple[float, str]:
    """Take the step that was collected; return the gradient's norm and why none was taken.

    Where the loss, the gradient or Adam's moments are not finite, the gradient is dropped and
    weights and moments stay as they are.
    """
    why = "" if isfinite(loss) else f"the loss is {loss}"
    if why or (why := optimiser.unsound()):
        optimiser.forget()
        return nan, why
    norm = optimiser.step(learning_rate)
    return norm, "" if isfinite(norm) else f"the norm of the gradient is {norm}"


def _reinforced(
    model: Any, packed: Packed, *, episodes: int, token_limit: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the loss of a piece, and how much likelier the sampler found its tokens (T,)."""
    assert packed.sampler_T is not None
    logprobs = own_logprobs(model, packed)
    old = logprobs.detach()
    weights = mismatch_weights(old, packed.sampler_T)
    loss = policy_loss(
        logprobs, old, weights, packed.advantages_T, episodes=episodes, token_limit=token_limit
    )
    return loss, packed.sampler_T - old


def rehearse(model: Any, optimiser: MasterAdam, rows: Sequence[GroupRow], fit: Fit) -> None:
    """Compute the gradient of a step on `rows` and drop it: does memory hold it?"""
    model.train()
    with checkpointed(model, fit.checkpointing):
        for piece in fit.pieces(rows):
            packed = pack(piece)
            descend(own_logprobs(model, packed).mean(), optimiser)
    optimiser.forget()


def learn_groups(
    model: Any,
    optimiser: MasterAdam,
    rows: Sequence[GroupRow],
    *,
    learning_rate: float,
    episodes: int,
    token_limit: int,
    fit: Fit = DEFAULT_FIT,
) -> StepReport:
    """Take one RL step on groups with unequal rewards; `episodes` counts all that were drawn."""
    model.train()
    total, drift, work = 0.0, [], _Work()
    with checkpointed(model, fit.checkpointing):
        for piece in fit.pieces(rows):
            packed = pack(piece)
            loss, gap = _reinforced(model, packed, episodes=episodes, token_limit=token_limit)
            total += descend(loss, optimiser)
            work.add(piece, packed)
            drift.append(gap)
    norm, skipped = take_step(optimiser, total, learning_rate)
    gap = torch.cat(drift)
    ratios = torch.exp(-gap)
    return StepReport(
        loss=total,
        grad_norm=norm,
        own_tokens=sum(row.own_tokens for row in rows),
        **asdict(work),
        weight_mean=float(ratios.clamp(max=2.0).mean()),
        weight_max=float(ratios.max()),
        mismatch_kl=float(gap.mean()),
        checkpointed=fit.checkpointing,
        skipped=skipped,
    )


def learn_demonstrations(
    model: Any,
    optimiser: MasterAdam,
    rows: Sequence[GroupRow],
    *,
    learning_rate: float,
    fit: Fit = DEFAULT_FIT,
) -> StepReport:
    """Take one cross-entropy step on demonstrations, a weighted mean over the batch's tokens."""
    model.train()
    weight = sum(sum(row.weights) for row in rows)
    total, work = 0.0, _Work()
    with checkpointed(model, fit.checkpointing):
        for piece in fit.pieces(rows):
            packed = pack(piece)
            logprobs = own_logprobs(model, packed)
            loss = demonstration_loss(logprobs, packed.weights_T, total=weight)
            total += descend(loss, optimiser)
            work.add(piece, packed)
    norm, skipped = take_step(optimiser, total, learning_rate)
    return StepReport(
        loss=total,
        grad_norm=norm,
        own_tokens=sum(row.own_tokens for row in rows),
        **asdict(work),
        checkpointed=fit.checkpointing,
        skipped=skipped,
    )

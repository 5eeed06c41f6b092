"""The loss maths: pure functions of small tensors, with no model, batch or I/O in sight.

Shapes: T own tokens (of all episodes of a batch, those that several share once).
Log-probabilities are natural.
"""

from __future__ import annotations

import torch

CLIP_LOW, CLIP_HIGH, MISMATCH_CAP = 0.8, 1.28, 2.0


def mismatch_weights(
    learner_T: torch.Tensor, sampler_T: torch.Tensor, cap: float = MISMATCH_CAP
) -> torch.Tensor:
    """Return w = min(pi_old by the learner / pi_sampler, cap), per token, without gradient.

    Truncated importance weights (Yao et al. 2025): engines, precisions and packings differ,
    so the policy that sampled is not exactly the one that learns.
    """
    return torch.exp(learner_T.detach() - sampler_T).clamp(max=cap)


def policy_loss(
    logprobs_T: torch.Tensor,
    old_T: torch.Tensor,
    weights_T: torch.Tensor,
    advantages_T: torch.Tensor,
    *,
    episodes: int,
    token_limit: int,
) -> torch.Tensor:
    """Return -1/(N*L) * sum_t w * min(rho*A, clip(rho)*A), a scalar.

    `old_T` is pi_old as the learner computed it: with one update a batch it equals
    `logprobs_T.detach()` and the clip is inactive. N counts the episodes drawn, dropped
    groups included, and L is a constant, so that neither the length of an answer nor the
    share of dropped groups changes the weight of a token (Liu et al. 2025, Dr. GRPO).
    """
    ratio_T = torch.exp(logprobs_T - old_T.detach())
    clipped_T = ratio_T.clamp(CLIP_LOW, CLIP_HIGH)
    gain_T = torch.minimum(ratio_T * advantages_T, clipped_T * advantages_T)
    return -(weights_T * gain_T).sum() / (episodes * token_limit)


def demonstration_loss(
    logprobs_T: torch.Tensor, weights_T: torch.Tensor, *, total: float
) -> torch.Tensor:
    """Return the weighted mean negative log-likelihood of the *whole batch*, a scalar.

    `total` is the weight of all tokens of the batch, not of this piece of it: summing pieces
    gives exactly the mean over the batch, whatever the pieces (the bug behind many published
    gains of mixed objectives is a mean of means).
    """
    return -(weights_T * logprobs_T).sum() / total

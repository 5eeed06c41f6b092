"""Logits to tokens: an exact draw from the untruncated softmax, with its log-probability.

The vocabulary is summed in blocks, so that one pass over the logits serves both the
normaliser and the inverse-CDF draw; only the chosen block is looked at twice.
"""

from __future__ import annotations

from typing import NamedTuple

import torch


class Draw(NamedTuple):
    """Sampled ids (R,) and their natural log-probabilities (R,) at temperature 1 of the logits."""

    ids: torch.Tensor
    logprobs: torch.Tensor


def block_size(vocabulary: int, most: int = 512) -> int:
    """Return the largest divisor of the vocabulary that is at most `most`."""
    return max(size for size in range(1, most + 1) if vocabulary % size == 0)


def draw(logits: torch.Tensor, uniforms: torch.Tensor, rows: torch.Tensor | None = None) -> Draw:
    """Draw one id by inverse CDF for each of `uniforms` (R,) in [0, 1).

    `logits` (R, V), float; or (U, V), and `rows` (R,) says which of them each draws from.
    """
    U, V = logits.shape
    size = block_size(V)
    blocks = logits.view(U, V // size, size)
    block_lse = torch.logsumexp(blocks, dim=-1)
    lse = torch.logsumexp(block_lse, dim=-1, keepdim=True)
    block_cdf = torch.exp((block_lse - lse).double()).cumsum(-1)
    if rows is None:
        rows = torch.arange(U)
    block_cdf, lse = block_cdf[rows], lse[rows, 0]
    target = uniforms.double()[:, None].clamp(max=1 - 1e-12) * block_cdf[:, -1:]
    chosen = torch.searchsorted(block_cdf, target, right=True).clamp_(max=V // size - 1)
    inside = blocks[rows, chosen[:, 0]].double()
    before = torch.where(chosen > 0, block_cdf.gather(1, (chosen - 1).clamp(min=0)), 0.0)
    # The block's own sum, not its rounded logsumexp, decides inside it: what is left of the
    # uniform always meets a token of some probability, and never one that is ruled out.
    left = (target - before) / (block_cdf.gather(1, chosen) - before)
    cdf = torch.exp(inside - inside.amax(-1, keepdim=True)).cumsum(-1)
    goal = left.clamp_(0.0, 1 - 1e-12) * cdf[:, -1:]
    within = torch.searchsorted(cdf, goal, right=True).clamp_(max=size - 1)
    ids = (chosen * size + within)[:, 0]
    return Draw(ids, logits[rows, ids] - lse)


def greedy(logits: torch.Tensor) -> Draw:
    """Return the likeliest id a row and its log-probability. `logits` (R, V) float."""
    top = logits.max(dim=-1)
    return Draw(top.indices, top.values - torch.logsumexp(logits, dim=-1))

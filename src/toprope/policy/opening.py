"""How episodes leave a draft: exact draws at every token of it from one forward pass.

Sampled token by token, an episode that mostly copies a known text would be decoded for the
text's sake alone. One pass over prompt and draft gives every next-token distribution that it
meets while it copies; it is followed to the first token drawn that is not the draft's, and
only from there on decoded. What comes out is a sample of the model, not of the draft.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from toprope.policy.draw import draw, greedy


@dataclass(frozen=True, slots=True)
class Opening:
    """The first `copied` ids are the draft's; one more departs, unless all of it was copied."""

    ids: list[int]
    logprobs: list[float]
    copied: int


# How many tokens' logits are held at once.
CHUNK = 128


def openings(
    logits_of: Callable[[torch.Tensor], torch.Tensor],
    states: torch.Tensor,
    draft_ids: tuple[int, ...],
    uniforms: np.ndarray,
    *,
    temperature: float = 1.0,
    held: int = 0,
) -> list[Opening]:
    """Return where and how G episodes depart from a draft of N tokens.

    Args:
        logits_of: from hidden states (M, D) to new logits (M, V), float.
        states: (N, D), those that predict the draft's tokens.
        draft_ids: the draft.
        uniforms: (G, N) in [0, 1), an episode's at each token.
        temperature: 0 is greedy; log-probabilities are then of the unscaled distribution.
        held: tokens that are copied whatever the model says; their log-probability is 0.
    """
    own = torch.tensor(draft_ids)[:, None]
    chance, copying = _copying(logits_of, states, own, temperature)
    chance[:held], copying[:held] = 1.0, 0.0
    stays = torch.from_numpy(uniforms) < chance
    cuts = stays.long().cumprod(dim=1).sum(dim=1)
    departing = [g for g, cut in enumerate(cuts.tolist()) if cut < len(draft_ids)]
    at = cuts[departing]
    others = _scaled(logits_of(states[at]), temperature).scatter_(1, own[at], float("-inf"))
    if temperature:
        left = (torch.from_numpy(uniforms)[departing, at] - chance[at]) / (1 - chance[at])
        drawn = draw(others, left)
    else:
        drawn = greedy(others)
    leaving = torch.log(-torch.expm1(copying[at]))  # log-probability of not copying
    first = dict(
        zip(
            departing,
            zip(drawn.ids.tolist(), (drawn.logprobs + leaving).tolist(), strict=True),
            strict=True,
        )
    )
    kept = copying.tolist()
    return [
        Opening(
            ids=[*draft_ids[:cut], *([first[g][0]] if g in first else [])],
            logprobs=[*kept[:cut], *([first[g][1]] if g in first else [])],
            copied=cut,
        )
        for g, cut in enumerate(cuts.tolist())
    ]


def _copying(
    logits_of: Callable[[torch.Tensor], torch.Tensor],
    states: torch.Tensor,
    own: torch.Tensor,
    temperature: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return per token the chance (N,) that it is copied, and its log-probability, float64."""
    chances, logprobs = [], []
    for start in range(0, len(states), CHUNK):
        logits = _scaled(logits_of(states[start : start + CHUNK]), temperature)
        mine = own[start : start + CHUNK]
        logprob = (logits.gather(1, mine)[:, 0] - torch.logsumexp(logits, dim=-1)).double()
        logprobs.append(logprob)
        if temperature:
            chances.append(logprob.exp())
        else:
            chances.append((logits.argmax(-1) == mine[:, 0]).double())
    return torch.cat(chances), torch.cat(logprobs)


def _scaled(logits: torch.Tensor, temperature: float) -> torch.Tensor:
    return logits if temperature in (0.0, 1.0) else logits.div_(temperature)

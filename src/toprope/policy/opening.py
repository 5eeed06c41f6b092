"""How episodes leave a draft: exact draws at every token of it from one forward pass.

Sampled token by token, an episode that mostly copies a known text would be decoded for the
text's sake alone. One pass over prompt and draft gives every next-token distribution that it
meets while it copies; it is followed to the first token drawn that is not the draft's, and
only from there on decoded. What comes out is a sample of the model, not of the draft.
"""

from __future__ import annotations

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


def openings(
    logits: torch.Tensor,
    draft_ids: tuple[int, ...],
    uniforms: np.ndarray,
    *,
    temperature: float = 1.0,
    held: int = 0,
) -> list[Opening]:
    """Return where and how G episodes depart from a draft of N tokens.

    Args:
        logits: (N, V) float, of the distributions that predict the draft's tokens; changed.
        draft_ids: the draft.
        uniforms: (G, N) in [0, 1), an episode's at each token.
        temperature: 0 is greedy; log-probabilities are then of the unscaled distribution.
        held: tokens that are copied whatever the model says; their log-probability is 0.
    """
    if temperature not in (0.0, 1.0):
        logits /= temperature
    own = torch.tensor(draft_ids)[:, None]
    lse = torch.logsumexp(logits, dim=-1)
    copying = (logits.gather(1, own)[:, 0] - lse).double()
    chance = copying.exp() if temperature else (logits.argmax(-1) == own[:, 0]).double()
    chance[:held], copying[:held] = 1.0, 0.0
    stays = torch.from_numpy(uniforms) < chance
    cuts = stays.long().cumprod(dim=1).sum(dim=1)
    departing = [g for g, cut in enumerate(cuts.tolist()) if cut < len(draft_ids)]
    at = cuts[departing]
    others = logits[at].scatter_(1, own[at], float("-inf"))
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

"""How episodes leave a draft: exact draws at every token of it from one forward pass.

Sampled token by token, an episode that mostly copies a known text would be decoded for the
text's sake alone. One pass over prompt and draft gives every next-token distribution that it
meets while it copies; it is followed to the first token drawn that is not the draft's, and
only from there on decoded. What comes out is a sample of the model, not of the draft.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from toprope.policy.draw import Draw, draw, greedy

LogitsOf = Callable[[torch.Tensor], torch.Tensor]  # hidden states (M, D) -> new logits (M, V)


@dataclass(frozen=True, slots=True)
class Opening:
    """The first `copied` ids are the draft's; one more departs, unless all of it was copied."""

    ids: list[int]
    logprobs: list[float]
    copied: int


@dataclass(frozen=True, slots=True)
class Piece:
    """Consecutive tokens of a draft, and the uniforms (G, N) that G episodes meet them with.

    The first `held` tokens are copied whatever the model says; their log-probability is 0.
    """

    ids: tuple[int, ...]
    uniforms: np.ndarray
    held: int = 0


@dataclass(frozen=True, slots=True)
class _Leaver:
    """An episode that departs: which piece and row of it, the state it does so at, its uniform."""

    piece: int
    row: int
    state: int
    uniform: float


# How many tokens' logits are held at once.
CHUNK = 128


def openings(
    logits_of: LogitsOf,
    states: torch.Tensor,
    pieces: Sequence[Piece],
    *,
    temperature: float = 1.0,
) -> list[list[Opening]]:
    """Return where and how the episodes of each piece depart from it.

    `states` (N, D) are those that predict the pieces' tokens, end to end. At temperature 0
    everything is greedy, and log-probabilities are those of the unscaled distribution.
    """
    own = torch.tensor([i for piece in pieces for i in piece.ids])[:, None]
    chance, copying = _copying(logits_of, states, own, temperature)
    cuts, leavers = [], []
    start = 0
    for at, piece in enumerate(pieces):
        end = start + len(piece.ids)
        chance[start : start + piece.held], copying[start : start + piece.held] = 1.0, 0.0
        met = torch.as_tensor(piece.uniforms, device=chance.device)
        stays = met < chance[start:end]
        cuts.append(stays.long().cumprod(dim=1).sum(dim=1).tolist())
        leavers += [
            _Leaver(at, row, start + cut, float(piece.uniforms[row, cut]))
            for row, cut in enumerate(cuts[-1])
            if cut < len(piece.ids)
        ]
        start = end
    first = _departures(logits_of, states, own, (chance, copying), leavers, temperature)
    return _joined(pieces, copying.tolist(), cuts, first)


def _joined(
    pieces: Sequence[Piece],
    copying: list[float],
    cuts: Sequence[Sequence[int]],
    first: dict[tuple[int, int], tuple[int, float]],
) -> list[list[Opening]]:
    """Put together what each episode copied and the token with which it departed, if it did."""
    found: list[list[Opening]] = []
    start = 0
    for at, piece in enumerate(pieces):
        found.append([])
        for row, cut in enumerate(cuts[at]):
            left = [first[at, row]] if (at, row) in first else []
            ids = [*piece.ids[:cut], *(token for token, _ in left)]
            logprobs = [*copying[start : start + cut], *(logprob for _, logprob in left)]
            found[-1].append(Opening(ids, logprobs, cut))
        start += len(piece.ids)
    return found


def _copying(
    logits_of: LogitsOf, states: torch.Tensor, own: torch.Tensor, temperature: float
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


def _departures(
    logits_of: LogitsOf,
    states: torch.Tensor,
    own: torch.Tensor,
    copy: tuple[torch.Tensor, torch.Tensor],
    leavers: Sequence[_Leaver],
    temperature: float,
) -> dict[tuple[int, int], tuple[int, float]]:
    """Return by piece and row the token drawn instead of the draft's, and its log-probability."""
    found: dict[tuple[int, int], tuple[int, float]] = {}
    for start in range(0, len(leavers), CHUNK):
        some = leavers[start : start + CHUNK]
        at = torch.tensor([one.state for one in some])
        places, rows = at.unique(return_inverse=True)
        others = _scaled(logits_of(states[places]), temperature)
        others.scatter_(1, own[places], float("-inf"))
        uniforms = torch.tensor([one.uniform for one in some], dtype=torch.float64)
        drawn = _other(others, rows, (uniforms - copy[0][at]) / (1 - copy[0][at]), temperature)
        leaving = torch.log(-torch.expm1(copy[1][at]))  # log-probability of not copying
        told = zip(drawn.ids.tolist(), (drawn.logprobs + leaving).tolist(), strict=True)
        for one, departure in zip(some, told, strict=True):
            found[one.piece, one.row] = departure
    return found


def _other(
    others: torch.Tensor, rows: torch.Tensor, left: torch.Tensor, temperature: float
) -> Draw:
    """Draw from what is not the draft's; `left` is the uniform that copying left over."""
    if temperature:
        return draw(others, left, rows)
    best = greedy(others)
    return Draw(best.ids[rows], best.logprobs[rows])


def _scaled(logits: torch.Tensor, temperature: float) -> torch.Tensor:
    return logits if temperature in (0.0, 1.0) else logits.div_(temperature)

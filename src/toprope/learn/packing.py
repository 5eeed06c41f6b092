"""Packs a group into one row: the prompt once, then its completions as a tree.

What completions have in common from their first token on is computed once, like the prompt:
each token attends to the prompt and to what its own completion has before it, at the position
that it has there. So a row computes exactly what separate rows would. Shapes: B rows, D
packed tokens of the longest row, T own tokens of all rows, shared ones counted once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch


@dataclass(frozen=True, slots=True)
class GroupRow:
    """A prompt and the completions that learn from it, with one weight a completion.

    `advantages` are the RLOO advantages (ones for demonstrations); `sampler_logprobs` are
    None for demonstrations, which nobody sampled. `token_weights` say how much each token of
    a demonstration counts; None: all the same. `own` says which tokens of each completion are
    the policy's own: the others, observations between its turns, are read and carry no loss.
    Numbers by token go along with all of a completion's tokens; None: all are its own.
    """

    prompt_ids: tuple[int, ...]
    completions: tuple[tuple[int, ...], ...]
    advantages: tuple[float, ...]
    sampler_logprobs: tuple[tuple[float, ...], ...] | None = None
    token_weights: tuple[tuple[float, ...], ...] | None = None
    own: tuple[tuple[bool, ...], ...] | None = None

    @property
    def width(self) -> int:
        """How many tokens the packed row has."""
        return len(_tree(self).ids)

    @property
    def own_tokens(self) -> int:
        """How many tokens carry loss."""
        return sum(map(sum, self.mask))

    @property
    def mask(self) -> tuple[tuple[bool, ...], ...]:
        """Which tokens of each completion carry loss."""
        return self.own or tuple((True,) * len(one) for one in self.completions)

    @property
    def weights(self) -> list[float]:
        """The weight of every own token, end to end."""
        if self.token_weights is None:
            return [1.0] * self.own_tokens
        each = zip(self.token_weights, self.mask, strict=True)
        return [w for one, own in each for w, mine in zip(one, own, strict=True) if mine]


@dataclass(frozen=True, slots=True)
class Packed:
    """Rows as tensors. `source_T` are flat indices into (B*D) of the states that predict."""

    input_ids: torch.Tensor  # (B, D)
    position_ids: torch.Tensor  # (B, D)
    mask: torch.Tensor  # (B, 1, D, D) bool, True where attention is allowed
    source_T: torch.Tensor
    target_T: torch.Tensor
    advantages_T: torch.Tensor
    weights_T: torch.Tensor
    sampler_T: torch.Tensor | None


class _Loss(NamedTuple):
    """One prediction that carries loss: from which node, of what, and sampled how likely."""

    source: int
    target: int
    sampler: float | None


class _Tree(NamedTuple):
    """A row's tokens, each with its parent's index, and what is predicted how much.

    A prediction that several completions share carries their advantages' and weights' sum:
    with one update a batch the loss is linear in both, so nothing changes but the work.
    """

    ids: list[int]
    parents: list[int]
    losses: dict[_Loss, tuple[float, float]]


@lru_cache(maxsize=64)
def _tree(row: GroupRow) -> _Tree:
    """Return the prompt as a trunk and the completions as branches that part where they differ."""
    P = len(row.prompt_ids)
    ids, parents = list(row.prompt_ids), list(range(-1, P - 1))
    children: dict[tuple[int, int], int] = {}
    losses: dict[_Loss, tuple[float, float]] = {}
    weights = iter(row.weights)
    for number, (completion, own) in enumerate(zip(row.completions, row.mask, strict=True)):
        node = P - 1
        sampled = row.sampler_logprobs[number] if row.sampler_logprobs is not None else None
        for at, token in enumerate(completion):
            if own[at]:
                loss = _Loss(node, token, sampled[at] if sampled is not None else None)
                advantage, weight = losses.get(loss, (0.0, 0.0))
                losses[loss] = advantage + row.advantages[number], weight + next(weights)
            if (node, token) not in children:
                children[node, token] = len(ids)
                ids.append(token)
                parents.append(node)
            node = children[node, token]
    return _Tree(ids, parents, losses)


def _sight(tree: _Tree, D: int) -> tuple[np.ndarray, list[int]]:
    """Return who sees whom (D, D), itself and what led to it, and every token's position."""
    seen = np.zeros((D, D), dtype=bool)
    positions = [0] * D
    for at, parent in enumerate(tree.parents):
        if parent >= 0:
            seen[at] = seen[parent]
            positions[at] = positions[parent] + 1
        seen[at, at] = True
    np.fill_diagonal(seen[len(tree.ids) :, len(tree.ids) :], True)  # padding sees itself
    return seen, positions


def pack(rows: Sequence[GroupRow]) -> Packed:
    """Return the rows as one padded batch.

    Raises:
        ValueError: a completion or a prompt without tokens, or a mask of another length.
    """
    if any(not row.prompt_ids or not all(row.completions) for row in rows):
        raise ValueError("every prompt and every completion needs at least one token")
    if any(list(map(len, row.mask)) != list(map(len, row.completions)) for row in rows):
        raise ValueError("every completion needs one word a token on whether it is its own")
    trees = [_tree(row) for row in rows]
    D = max(len(tree.ids) for tree in trees)
    sights = [_sight(tree, D) for tree in trees]
    losses = [(b, loss, *value) for b, t in enumerate(trees) for loss, value in t.losses.items()]
    sampled = [loss.sampler for _, loss, _, _ in losses if loss.sampler is not None]
    input_ids = torch.tensor([tree.ids + [0] * (D - len(tree.ids)) for tree in trees])
    seen = np.stack([seen for seen, _ in sights])
    return Packed(
        input_ids=input_ids,
        position_ids=torch.tensor([positions for _, positions in sights]),
        mask=torch.as_tensor(seen, device=input_ids.device)[:, None],
        source_T=torch.tensor([b * D + loss.source for b, loss, _, _ in losses]),
        target_T=torch.tensor([loss.target for _, loss, _, _ in losses]),
        advantages_T=torch.tensor([advantage for _, _, advantage, _ in losses]),
        weights_T=torch.tensor([weight for _, _, _, weight in losses]),
        sampler_T=torch.tensor(sampled) if len(sampled) == len(losses) else None,
    )


def pieces(rows: Sequence[GroupRow], most_tokens: int) -> list[list[GroupRow]]:
    """Split rows into batches of at most `most_tokens` padded tokens, like widths together."""
    batches: list[list[GroupRow]] = []
    for row in sorted(rows, key=lambda r: -r.width):
        if batches and batches[-1][0].width * (len(batches[-1]) + 1) <= most_tokens:
            batches[-1].append(row)
        else:
            batches.append([row])
    return batches

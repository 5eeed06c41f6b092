"""Packs a group into one row: the prompt once, then its completions under a block mask.

Each completion attends to the prompt and to itself, its positions restarting at the
prompt's end, so the row computes exactly what separate rows would, with the prompt paid
once. Shapes: B rows, D packed tokens of the longest row, T own tokens of all rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class GroupRow:
    """A prompt and the completions that learn from it, with one weight a completion.

    `advantages` are the RLOO advantages (ones for demonstrations); `sampler_logprobs` are
    None for demonstrations, which nobody sampled. `token_weights` say how much each token of
    a demonstration counts; None: all the same.
    """

    prompt_ids: tuple[int, ...]
    completions: tuple[tuple[int, ...], ...]
    advantages: tuple[float, ...]
    sampler_logprobs: tuple[tuple[float, ...], ...] | None = None
    token_weights: tuple[tuple[float, ...], ...] | None = None

    @property
    def width(self) -> int:
        """How many tokens the packed row has."""
        return len(self.prompt_ids) + sum(map(len, self.completions))

    @property
    def own_tokens(self) -> int:
        """How many tokens carry loss."""
        return sum(map(len, self.completions))

    @property
    def weights(self) -> list[float]:
        """The weight of every own token, end to end."""
        if self.token_weights is None:
            return [1.0] * self.own_tokens
        return [weight for one in self.token_weights for weight in one]


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


def _row_layout(row: GroupRow, D: int) -> tuple[list[int], list[int], list[int]]:
    """Return ids, positions and block numbers (0 prompt, 1… completions, -1 padding)."""
    P = len(row.prompt_ids)
    ids, positions, blocks = list(row.prompt_ids), list(range(P)), [0] * P
    for number, completion in enumerate(row.completions, start=1):
        ids += completion
        positions += range(P, P + len(completion))
        blocks += [number] * len(completion)
    pad = D - len(ids)
    return ids + [0] * pad, positions + [0] * pad, blocks + [-1] * pad


def _sources(row: GroupRow, offset: int) -> list[int]:
    """Return where each own token is predicted from: its predecessor, or the prompt's end."""
    P = len(row.prompt_ids)
    sources, start = [], P
    for completion in row.completions:
        sources += [offset + P - 1, *range(offset + start, offset + start + len(completion) - 1)]
        start += len(completion)
    return sources


def pack(rows: Sequence[GroupRow]) -> Packed:
    """Return the rows as one padded batch.

    Raises:
        ValueError: a completion or a prompt without tokens.
    """
    if any(not row.prompt_ids or not all(row.completions) for row in rows):
        raise ValueError("every prompt and every completion needs at least one token")
    D = max(row.width for row in rows)
    layouts = [_row_layout(row, D) for row in rows]
    blocks = torch.tensor([layout[2] for layout in layouts])
    causal = torch.ones(D, D, dtype=torch.bool).tril()
    same = blocks[:, :, None] == blocks[:, None, :]
    mask = (same | (blocks[:, None, :] == 0)) & causal
    samplers = [row.sampler_logprobs for row in rows]
    sampled = [lp for row in samplers if row is not None for one in row for lp in one]
    return Packed(
        input_ids=torch.tensor([layout[0] for layout in layouts]),
        position_ids=torch.tensor([layout[1] for layout in layouts]),
        mask=mask[:, None],
        source_T=torch.tensor([s for b, row in enumerate(rows) for s in _sources(row, b * D)]),
        target_T=torch.tensor([t for row in rows for one in row.completions for t in one]),
        advantages_T=torch.tensor(
            [
                advantage
                for row in rows
                for one, advantage in zip(row.completions, row.advantages, strict=True)
                for _ in one
            ]
        ),
        weights_T=torch.tensor([weight for row in rows for weight in row.weights]),
        sampler_T=None if any(row is None for row in samplers) else torch.tensor(sampled),
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

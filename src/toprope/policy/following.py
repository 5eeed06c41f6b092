"""Follows groups along their drafts, no further than some episode of the group still copies.

The prompts come first and give each episode's first token; the draft is computed only for
the groups that go on. It does not know what becomes of an episode that has departed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from toprope.policy.cache import GroupCache
from toprope.policy.opening import LogitsOf, Opening, Piece, openings
from toprope.policy.spans import prefill


@dataclass(frozen=True, slots=True)
class Draft:
    """What a group may copy, its first `held` tokens forced, with uniforms (G, N or more)."""

    ids: tuple[int, ...]
    uniforms: np.ndarray
    held: int = 0

    def piece(self, start: int, end: int, rows: Sequence[int]) -> Piece:
        """Return tokens of the draft as some of the group's episodes meet them."""
        held = min(max(0, self.held - start), end - start)
        return Piece(self.ids[start:end], self.uniforms[list(rows), start:end], held)


def follow(
    model: Any,
    cache: GroupCache,
    drafts: Sequence[Draft],
    states: torch.Tensor,
    logits_of: LogitsOf,
    *,
    temperature: float,
) -> list[list[Opening]]:
    """Return the openings of every group's episodes; fills the cache as far as they need it.

    `states` (P, D) are those of the prompts' last tokens, which the cache already holds.
    """
    everybody = [range(len(draft.uniforms)) for draft in drafts]
    firsts = [draft.piece(0, 1, rows) for draft, rows in zip(drafts, everybody, strict=True)]
    found = openings(logits_of, states, firsts, temperature=temperature)
    going = [p for p, group in enumerate(found) if any(one.copied for one in group)]
    going = [p for p in going if len(drafts[p].ids) > 1]
    # The state of a draft's last token predicts what comes after: nothing, the episode ends.
    texts = [drafts[p].ids[:-1] for p in going]
    for span, hidden in prefill(model, cache, texts, going):
        pieces, rows = [], []
        for p in (going[at] for at in span):
            rows += [(p, row) for row, one in enumerate(found[p]) if one.copied]
            mine = [row for q, row in rows if q == p]
            pieces.append(drafts[p].piece(1, len(drafts[p].ids), mine))
        rest = openings(logits_of, hidden, pieces, temperature=temperature)
        for (p, row), more in zip(rows, (one for group in rest for one in group), strict=True):
            found[p][row] = _after(found[p][row], more)
    return found


def _after(first: Opening, more: Opening) -> Opening:
    ids, logprobs = [*first.ids, *more.ids], [*first.logprobs, *more.logprobs]
    return Opening(ids, logprobs, first.copied + more.copied)

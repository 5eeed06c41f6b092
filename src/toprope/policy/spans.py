"""Prefill: prompts go in end to end, a thousand tokens or so at a time, none padded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from toprope.policy.cache import GroupCache

# Enough rows for a matrix product to run at full speed, few enough to stay in the cache.
PREFILL_TOKENS = 1024


def prefill(
    model: Any, cache: GroupCache, prompts: Sequence[Sequence[int]]
) -> Iterator[tuple[range, torch.Tensor]]:
    """Fill the cache; yield each run of prompts with its hidden states (N, D), end to end."""
    for span in _spans([len(ids) for ids in prompts]):
        sizes = cache.expect(span)
        ids = torch.tensor([[i for p in span for i in prompts[p]]])
        positions = torch.cat([torch.arange(size) for size in sizes])[None]
        hidden = model.model(
            input_ids=ids, position_ids=positions, use_cache=False, cache=cache
        ).last_hidden_state[0]
        yield span, hidden


def _spans(lengths: Sequence[int]) -> Iterator[range]:
    """Yield runs of prompts of at most `PREFILL_TOKENS` together, or of one that is longer."""
    start = total = 0
    for at, length in enumerate(lengths):
        if at > start and total + length > PREFILL_TOKENS:
            yield range(start, at)
            start, total = at, 0
        total += length
    yield range(start, len(lengths))

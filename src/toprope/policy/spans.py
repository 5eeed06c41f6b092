"""Prefill: prompts go in end to end, a thousand tokens or so at a time, none padded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from toprope.policy.cache import GroupCache

# Enough rows for a matrix product to run at full speed, few enough to stay in the cache.
PREFILL_TOKENS = 1024


def prefill(
    model: Any,
    cache: GroupCache,
    texts: Sequence[Sequence[int]],
    prompts: Sequence[int] | None = None,
) -> Iterator[tuple[range, torch.Tensor]]:
    """Fill the cache; yield each run of texts with its hidden states (N, D), end to end.

    The texts are the cache's prompts, or go on with those `prompts` of it.
    """
    chosen = range(len(texts)) if prompts is None else prompts
    for span in _spans([len(ids) for ids in texts]):
        mine = [texts[at] for at in span]
        parts = cache.expect(chosen[span.start : span.stop], [len(ids) for ids in mine])
        ids = torch.tensor([[i for text in mine for i in text]])
        positions = torch.cat([torch.arange(p.start, p.start + p.size) for p in parts])[None]
        hidden = model.model(
            input_ids=ids, position_ids=positions, use_cache=False, cache=cache
        ).last_hidden_state[0]
        yield span, hidden


def _spans(lengths: Sequence[int]) -> Iterator[range]:
    """Yield runs of texts of at most `PREFILL_TOKENS` together, or of one that is longer."""
    start = total = 0
    for at, length in enumerate(lengths):
        if at > start and total + length > PREFILL_TOKENS:
            yield range(start, at)
            start, total = at, 0
        total += length
    if lengths:
        yield range(start, len(lengths))

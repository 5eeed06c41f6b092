"""Attention of a policy: the group's prompt is read once, however many episodes share it.

One function serves three uses, chosen by what it is handed: a packed row of the learner
(a 4-D mask, no cache), a prefill (fills a `GroupCache`), and a decoding step (reads one).
It plugs into any transformers model through that library's attention interface.

Shapes: P prompts, G episodes a prompt, R = P*G rows, H query heads, K key-value heads,
S = H/K, L prompt tokens (padded), T sampled tokens so far, E head width.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional as F
from transformers import AttentionInterface

NAME = "toprope"


class GroupCache:
    """Keys and values of P prompts, kept once, and of the G rows that continue each.

    Buffers are allocated at once for `capacity` sampled tokens; `step` is how many of
    them are filled. `width` is G; `lengths` are the P prompt lengths in tokens.
    """

    def __init__(self, layers: int, capacity: int) -> None:
        self.capacity = capacity
        self.prompt: list[tuple[torch.Tensor, torch.Tensor]] = []
        self.own: list[tuple[torch.Tensor, torch.Tensor]] = []
        self.layers = layers
        self.lengths = torch.empty(0, dtype=torch.long)
        self.prompt_mask = torch.empty(0)
        self.width = 0
        self.step = 0

    def begin(self, lengths: torch.Tensor, width: int) -> None:
        """Turn from prefill to decoding with `width` rows per prompt."""
        self.width, self.step = width, 0
        self._set_lengths(lengths)
        for key, _ in self.prompt:
            P, K, _, E = key.shape
            shape = (P * width, K, self.capacity, E)
            self.own.append((key.new_empty(shape), key.new_empty(shape)))

    def _set_lengths(self, lengths: torch.Tensor) -> None:
        self.lengths = lengths
        L = self.prompt[0][0].shape[2]
        hidden = torch.arange(L, device=lengths.device)[None] >= lengths[:, None]
        self.prompt_mask = torch.zeros(hidden.shape, device=lengths.device)
        self.prompt_mask.masked_fill_(hidden, float("-inf"))

    def keep(self, prompts: torch.Tensor, rows: torch.Tensor, width: int) -> None:
        """Keep only these prompts (P' indices) and rows (P'*width indices into R)."""
        self.prompt = [(k[prompts], v[prompts]) for k, v in self.prompt]
        self.own = [(k[rows], v[rows]) for k, v in self.own]
        self.width = width
        self._set_lengths(self.lengths[prompts])


def _repeat_heads(x: torch.Tensor, times: int) -> torch.Tensor:
    return x if times == 1 else x.repeat_interleave(times, dim=1)


def _plain(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    scaling: float,
) -> torch.Tensor:
    """Return ordinary attention, (B, T, H, E); causal when there is no mask."""
    times = query.shape[1] // key.shape[1]
    out = F.scaled_dot_product_attention(
        query,
        _repeat_heads(key, times),
        _repeat_heads(value, times),
        attn_mask=mask,
        is_causal=mask is None,
        scale=scaling,
    )
    return out.transpose(1, 2).contiguous()


def _decode(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    cache: GroupCache,
    layer: int,
    scaling: float,
) -> torch.Tensor:
    """Return one decoding step's attention, (R, 1, H, E).

    The S query heads of a key-value head, for all G rows of a prompt, become the rows of
    one matrix product against that prompt's keys: the prompt is read once a step.
    """
    prompt_key, prompt_value = cache.prompt[layer]
    own_key, own_value = cache.own[layer]
    t = cache.step
    own_key[:, :, t] = key[:, :, 0]
    own_value[:, :, t] = value[:, :, 0]
    P, K, L, E = prompt_key.shape
    G, R = cache.width, query.shape[0]
    S = query.shape[1] // K
    grouped = query.view(P, G, K, S, E).transpose(1, 2).reshape(P * K, G * S, E)
    to_prompt = torch.bmm(grouped, prompt_key.view(P * K, L, E).transpose(1, 2))
    rows = query.reshape(R * K, S, E)
    mine_key = own_key[:, :, : t + 1].reshape(R * K, t + 1, E)
    mine_value = own_value[:, :, : t + 1].reshape(R * K, t + 1, E)
    to_own = torch.bmm(rows, mine_key.transpose(1, 2))
    to_own = to_own.view(P, G, K, S, t + 1).transpose(1, 2).reshape(P, K, G * S, t + 1)
    scores = torch.cat([to_prompt.view(P, K, G * S, L), to_own], dim=-1).float().mul_(scaling)
    scores[..., :L] += cache.prompt_mask[:, None, None, :]
    weights = torch.softmax(scores, dim=-1).to(query.dtype)
    out = torch.bmm(weights[..., :L].reshape(P * K, G * S, L), prompt_value.view(P * K, L, E))
    own_weights = weights[..., L:].view(P, K, G, S, t + 1).transpose(1, 2)
    mine = torch.bmm(own_weights.reshape(R * K, S, t + 1), mine_value)
    both = out.view(P, K, G, S, E).transpose(1, 2).reshape(R, K * S, E) + mine.view(R, K * S, E)
    return both[:, None]


def attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    cache: GroupCache | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Attend as transformers asks, (B, H, T, E) in and (B, T, H, E) out."""
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    if cache is not None and cache.width:
        layer = int(module.layer_idx)  # type: ignore[arg-type]
        return _decode(query, key, value, cache, layer, scale), None
    if cache is not None:
        cache.prompt.append((key.contiguous(), value.contiguous()))
        attention_mask = None
    return _plain(query, key, value, attention_mask, scale), None


AttentionInterface.register(NAME, attention)

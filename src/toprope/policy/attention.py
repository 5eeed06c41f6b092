"""Attention of a policy: the group's prompt is read once, however many episodes share it.

One function serves three uses, chosen by what it is handed: a packed row of the learner
(a 4-D mask, no cache), a prefill (fills a `GroupCache`), and a decoding step (reads one).
It plugs into any transformers model through that library's attention interface.

Shapes: P prompts, R rows, G places for a prompt's rows, H query heads, K key-value heads,
S = H/K, L keys (of a prompt, padded, where it decodes), T queries, E head width.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional as F
from transformers import AttentionInterface

from toprope.policy.cache import GroupCache, Part
from toprope.terms import TopropeError

NAME = "toprope"
# Up to here the scores of a row are few enough to be kept whole.
LONGEST_PRODUCTS = 1024
_NOT_COMPUTED = ("softcap", "s_aux", "head_mask")


class UnknownAttention(TopropeError):
    """A model's layers attend in a way that is not computed here."""


def _repeat_heads(x: torch.Tensor, times: int) -> torch.Tensor:
    return x if times == 1 else x.repeat_interleave(times, dim=1)


def _plain(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    scaling: float,
    window: int | None = None,
) -> torch.Tensor:
    """Return ordinary attention, (B, T, H, E), of T queries to L keys (True in the mask: allowed).

    Without a mask it is causal, the last query seeing all keys, or the `window` nearest.
    """
    T, L = query.shape[2], key.shape[2]
    if mask is None and (T < L or _narrows(window, L)):
        mask = _causal(T, L, query.device, window)
    if query.device.type == "cpu" and query.shape[2] <= LONGEST_PRODUCTS:
        return _by_products(query, key, value, mask, scaling)
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


def _by_products(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    scaling: float,
) -> torch.Tensor:
    """The same by whole matrix products: on a CPU twice as fast, at the price of T*L scores.

    The S query heads of a key-value head are rows of one product, so no head is repeated.
    """
    B, H, T, E = query.shape
    K, L = key.shape[1:3]
    if mask is None:
        mask = _causal(T, L, query.device)
    bias = torch.zeros(mask.shape, dtype=query.dtype, device=query.device)
    bias.masked_fill_(~mask, float("-inf"))
    rows = (query * scaling).reshape(B * K, H // K * T, E)
    scores = torch.bmm(rows, key.reshape(B * K, L, E).transpose(1, 2)).view(B, H, T, L)
    weights = torch.softmax(scores.add_(bias), dim=-1).view(B * K, H // K * T, L)
    out = torch.bmm(weights, value.reshape(B * K, L, E)).view(B, H, T, E)
    return out.transpose(1, 2).contiguous()


def _narrows(window: int | None, L: int) -> bool:
    """Return whether a sliding window hides anything of L tokens."""
    return window is not None and window < L


def _causal(T: int, L: int, device: torch.device, window: int | None = None) -> torch.Tensor:
    """Return which of L keys (1, 1, T, L) each of the last T tokens may see."""
    seen = torch.ones(1, 1, T, L, dtype=torch.bool, device=device).tril_(L - T)
    return seen.triu_(L - T - window + 1) if window is not None else seen


def _near(mask: torch.Tensor, positions: torch.Tensor, window: int) -> torch.Tensor:
    """Return a packed row's mask (B, 1, D, D) without what is `window` or more tokens back."""
    if int(positions.max()) < window:
        return mask
    back = positions[:, None, :, None] - positions[:, None, None, :]
    return mask & (back < window)


def _prefill(
    query: torch.Tensor, cache: GroupCache, layer: int, scaling: float, window: int | None
) -> torch.Tensor:
    """Return the attention of parts of prompts that lie end to end in one row, (1, N, H, E).

    Each part sees its own prompt alone, so no token is padding and no product crosses prompts.
    """
    queries = query.split([part.size for part in cache.parts], dim=2)

    def one(own: torch.Tensor, part: Part) -> torch.Tensor:
        return _plain(own, *cache.seen(layer, part), None, scaling, window)

    return torch.cat([one(*pair) for pair in zip(queries, cache.parts, strict=True)], 1)


def _decode(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    cache: GroupCache,
    layer: int,
    scaling: float,
    window: int | None,
) -> torch.Tensor:
    """Return one decoding step's attention, (R, 1, H, E).

    The S query heads of a key-value head, for all rows of a prompt, become the rows of
    one matrix product against that prompt's keys: the prompt is read once a step.
    """
    prompt_key, prompt_value = cache.prompt[layer]
    own_key, own_value = cache.own[layer]
    own_key[:, :, cache.step % cache.capacity] = key[:, :, 0]
    own_value[:, :, cache.step % cache.capacity] = value[:, :, 0]
    P, K, L, E = prompt_key.shape
    R, N = query.shape[0], cache.filled
    S = query.shape[1] // K
    rows = query.reshape(R, K, S, E)
    to_prompt = torch.bmm(
        _by_prompt(rows, cache).view(P * K, -1, E), prompt_key.view(P * K, L, E).transpose(1, 2)
    )
    mine_key = own_key.view(R * K, cache.capacity, E)[:, :N]
    mine_value = own_value.view(R * K, cache.capacity, E)[:, :N]
    to_own = torch.bmm(rows.view(R * K, S, E), mine_key.transpose(1, 2)).view(R, K, S, N)
    both = [to_prompt.view(P, K, -1, L), _by_prompt(to_own, cache).view(P, K, -1, N)]
    scores = torch.cat(both, dim=-1).float().mul_(scaling)
    prompt_mask, own_mask = cache.masks(window)
    placed = scores.view(P, K, cache.width, S, L + N)
    placed[..., :L] += prompt_mask[:, None, :, None]
    if own_mask is not None:
        placed[..., L:] += own_mask if own_mask.dim() == 1 else own_mask[:, None, :, None]
    weights = torch.softmax(scores, dim=-1).to(query.dtype)
    out = torch.bmm(weights[..., :L].reshape(P * K, -1, L), prompt_value.view(P * K, L, E))
    own_weights = _by_row(weights[..., L:].reshape(P, K, cache.width, S, N), cache)
    mine = torch.bmm(own_weights.reshape(R * K, S, N), mine_value).view(R, K, S, E)
    found = _by_row(out.view(P, K, cache.width, S, E), cache) + mine
    return found.reshape(R, 1, K * S, E)


def _by_prompt(rows: torch.Tensor, cache: GroupCache) -> torch.Tensor:
    """Return what rows (R, K, S, N) hold as (P, K, G, S, N), contiguous, zeros where no row is."""
    if not cache.full:
        grid = rows.new_zeros(len(cache.lengths) * cache.width, *rows.shape[1:])
        grid[cache.slots] = rows
        rows = grid
    return rows.view(-1, cache.width, *rows.shape[1:]).transpose(1, 2).contiguous()


def _by_row(placed: torch.Tensor, cache: GroupCache) -> torch.Tensor:
    """Return what `_by_prompt` placed as rows (R, K, S, N) again."""
    P, K, G, S, N = placed.shape
    rows = placed.transpose(1, 2).reshape(P * G, K, S, N)
    return rows if cache.full else rows[cache.slots]


def attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    cache: GroupCache | None = None,
    sliding_window: int | None = None,
    position_ids: torch.Tensor | None = None,
    **more: Any,
) -> tuple[torch.Tensor, None]:
    """Attend as transformers asks, (B, H, T, E) in and (B, T, H, E) out.

    Raises:
        UnknownAttention: the model's layers ask for something that is not computed here.
    """
    strange = [name for name in _NOT_COMPUTED if more.get(name) is not None]
    if strange:
        raise UnknownAttention(
            f"the model's attention needs {', '.join(strange)}, which toprope does not compute: "
            "choose a student of another family"
        )
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    if cache is not None and cache.width:
        layer = int(module.layer_idx)  # type: ignore[arg-type]
        return _decode(query, key, value, cache, layer, scale, sliding_window), None
    if cache is not None:
        layer = int(module.layer_idx)  # type: ignore[arg-type]
        cache.fill(layer, key, value)
        return _prefill(query, cache, layer, scale, sliding_window), None
    if attention_mask is not None and sliding_window is not None and position_ids is not None:
        attention_mask = _near(attention_mask, position_ids, sliding_window)
    return _plain(query, key, value, attention_mask, scale, sliding_window), None


AttentionInterface.register(NAME, attention)

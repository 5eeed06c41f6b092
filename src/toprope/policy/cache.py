"""Keys and values of a batch of groups: the prompt's kept once, however many episodes share it.

Shapes: P prompts, G episodes a prompt, R = P*G rows, K key-value heads, L prompt tokens
(of the longest), C capacity in sampled tokens, E head width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch

Pair = tuple[torch.Tensor, torch.Tensor]


class Part(NamedTuple):
    """Tokens of a prompt that one forward pass computes: `size` of them, from `start` on."""

    prompt: int
    start: int
    size: int


class GroupCache:
    """Keys and values of P prompts, kept once, and of the G rows that continue each.

    First the prompts are filled in, one layer and span of prompts at a time, each in one go
    or in several, up to its room; then `begin` turns to decoding. Own buffers are allocated at
    once for `capacity` sampled tokens; `step` is how many of them are filled, `width` is G.
    """

    def __init__(self, rooms: Sequence[int], layers: int, capacity: int) -> None:
        self.capacity, self.layers = capacity, layers
        self._room = max(rooms)
        self.lengths = torch.zeros(len(rooms), dtype=torch.long)  # what is filled of each
        self.prompt: list[Pair] = []
        self.own: list[Pair] = []
        self.cuts = torch.empty(0, dtype=torch.long)
        self.prompt_mask = torch.empty(0)
        self.width = 0
        self.step = 0
        self.parts: list[Part] = []

    def expect(self, prompts: Sequence[int], sizes: Sequence[int]) -> list[Part]:
        """Say how many tokens of which prompts the next forward pass computes, as `parts`."""
        starts = self.lengths[list(prompts)].tolist()
        self.parts = [Part(*one) for one in zip(prompts, starts, sizes, strict=True)]
        for part in self.parts:
            self.lengths[part.prompt] += part.size
        return self.parts

    def fill(self, layer: int, key: torch.Tensor, value: torch.Tensor) -> None:
        """Take in the expected parts' keys and values (1, K, N, E), end to end."""
        if layer == len(self.prompt):
            _, K, _, E = key.shape
            shape = (len(self.lengths), K, self._room, E)
            # Zeros: what is masked out still enters a product, and must be finite there.
            self.prompt.append((key.new_zeros(shape), value.new_zeros(shape)))
        keys, values = self.prompt[layer]
        at = 0
        for p, start, size in self.parts:
            keys[p, :, start : start + size] = key[0, :, at : at + size]
            values[p, :, start : start + size] = value[0, :, at : at + size]
            at += size

    def seen(self, layer: int, part: Part) -> Pair:
        """Return the keys and values (1, K, L, E) of a prompt up to the end of a part."""
        keys, values = self.prompt[layer]
        one, end = slice(part.prompt, part.prompt + 1), part.start + part.size
        return keys[one, :, :end], values[one, :, :end]

    def begin(self, width: int, cuts: torch.Tensor | None = None) -> None:
        """Turn from prefill to decoding with `width` rows per prompt.

        `cuts` (P, width) says how much of its prompt each row goes on from; default: all.
        """
        self.width, self.step = width, 0
        self.cuts = self.lengths[:, None].repeat(1, width) if cuts is None else cuts
        self._mask()
        for key, _ in self.prompt:
            P, K, _, E = key.shape
            shape = (P * width, K, self.capacity, E)
            self.own.append((key.new_empty(shape), key.new_empty(shape)))

    @property
    def positions(self) -> torch.Tensor:
        """The position (R, 1) of each row's next token."""
        return self.cuts.reshape(-1, 1) + self.step

    def masks(self, window: int | None) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return what the next token adds to its scores: (P, G, L) of prompts, (t+1,) of own ones.

        With a sliding `window` only that many tokens are seen, the token itself among them.
        None where no own token is hidden.
        """
        if window is None or int(self.cuts.max()) + self.step < window:
            return self.prompt_mask, None
        L = self.prompt_mask.shape[2]
        far = self.cuts[:, :, None] + self.step - torch.arange(L) >= window
        prompt = self.prompt_mask.masked_fill(far, float("-inf"))
        if self.step < window:
            return prompt, None
        own = torch.zeros(self.step + 1)
        own[: self.step + 1 - window] = float("-inf")
        return prompt, own

    def _mask(self) -> None:
        """Hide (P, G, L) what lies behind a row's cut."""
        L = self.prompt[0][0].shape[2]
        hidden = torch.arange(L) >= self.cuts[:, :, None]
        self.prompt_mask = torch.zeros(hidden.shape).masked_fill_(hidden, float("-inf"))

    def thin(self, living: Sequence[bool]) -> list[int | None] | None:
        """Drop ended rows once they are a quarter of the batch or more.

        Returns for each row that is left which one it was, None for one that only fills a
        group up; or None where all rows stay.
        """
        groups = [
            [at for at in range(start, start + self.width) if living[at]]
            for start in range(0, len(living), self.width)
        ]
        prompts = [p for p, rows in enumerate(groups) if rows]
        narrow = max(map(len, groups))
        if len(prompts) * narrow > 0.75 * len(living):
            return None
        left: list[int | None] = []
        source: list[int] = []
        for p in prompts:
            spare = narrow - len(groups[p])
            left += [*groups[p], *[None] * spare]
            source += [*groups[p], *groups[p][:1] * spare]
        self.keep(torch.tensor(prompts), torch.tensor(source), narrow)
        return left

    def keep(self, prompts: torch.Tensor, rows: torch.Tensor, width: int) -> None:
        """Keep only these prompts (P' indices) and rows (P'*width indices into R)."""
        fewer = len(prompts) < len(self.lengths)
        # One layer at a time, so that no more than one is there twice.
        for layer, ((k, v), (own_k, own_v)) in enumerate(zip(self.prompt, self.own, strict=True)):
            if fewer:
                self.prompt[layer] = k[prompts], v[prompts]
            self.own[layer] = self._kept(own_k, rows), self._kept(own_v, rows)
        self.lengths = self.lengths[prompts]
        self.cuts = self.cuts.reshape(-1)[rows].view(len(prompts), width)
        self._mask()
        self.width = width

    def _kept(self, own: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """Return the rows of a buffer; only the tokens that are there are copied."""
        made = own.new_empty((len(rows), *own.shape[1:]))
        filled = self.step
        made[:, :, :filled] = own[:, :, :filled].index_select(0, rows)
        return made

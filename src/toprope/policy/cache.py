"""Keys and values of a batch of groups: the prompt's kept once, however many episodes share it.

Rows come and go while the batch decodes, each from a step of its own on; what a prompt or a
row has may be handed in, and taken out. It does not know episodes or tokens.

Shapes: P prompts, R rows, G rows of the prompt that has most, K key-value heads, L prompt
tokens (of the longest), C capacity in sampled tokens, E head width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch.nn import functional as F

Pair = tuple[torch.Tensor, torch.Tensor]
# Ended rows are dropped, and others taken in, once this share of a batch is left or less.
WORTH_THINNING = 0.75


class Part(NamedTuple):
    """Tokens of a prompt that one forward pass computes: `size` of them, from `start` on."""

    prompt: int
    start: int
    size: int


class GroupCache:
    """Keys and values of P prompts, kept once, and of the R rows that continue them.

    First the prompts are filled in, one layer and span of prompts at a time, each in one go
    or in several, up to its room; then `begin` turns to decoding. Own buffers are allocated at
    once for `capacity` sampled tokens; `step` is how many were decoded. A row uses its buffer
    from the step it was `born` at, round and round: it lives for `capacity` steps at most.
    """

    def __init__(self, rooms: Sequence[int], layers: int, capacity: int) -> None:
        self.capacity, self.layers = capacity, layers
        self._room = max(rooms)
        self.lengths = torch.zeros(len(rooms), dtype=torch.long)  # what is filled of each
        self.prompt: list[Pair] = []
        self.own: list[Pair] = []
        self.step = 0
        self.width = 0  # G, once it decodes
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
        keys, values = self._opened(layer, key)
        at = 0
        for p, start, size in self.parts:
            keys[p, :, start : start + size] = key[0, :, at : at + size]
            values[p, :, start : start + size] = value[0, :, at : at + size]
            at += size

    def recall(self, prompt: int, layers: Sequence[Pair], size: int) -> None:
        """Take in, by layer, the first `size` of keys and values (K, N, E): a prompt goes on."""
        start = int(self.lengths[prompt])
        for layer, (key, value) in enumerate(layers):
            keys, values = self._opened(layer, key[None])
            keys[prompt, :, start : start + size] = key[:, :size]
            values[prompt, :, start : start + size] = value[:, :size]
        self.lengths[prompt] += size

    def _opened(self, layer: int, like: torch.Tensor) -> Pair:
        """Return a layer's prompt buffers, made when they are first needed."""
        if layer == len(self.prompt):
            _, K, _, E = like.shape
            shape = (len(self.lengths), K, self._room, E)
            # Zeros: what is masked out still enters a product, and must be finite there.
            self.prompt.append((like.new_zeros(shape), like.new_zeros(shape)))
        return self.prompt[layer]

    def seen(self, layer: int, part: Part) -> Pair:
        """Return the keys and values (1, K, L, E) of a prompt up to the end of a part."""
        keys, values = self.prompt[layer]
        one, end = slice(part.prompt, part.prompt + 1), part.start + part.size
        return keys[one, :, :end], values[one, :, :end]

    def begin(self, owners: Sequence[int], cuts: Sequence[int] | None = None) -> None:
        """Turn from prefill to decoding, with a row for each of `owners`: prompts, in order.

        `cuts` says how much of its prompt each row goes on from; default: all that is filled.
        """
        self.owners = torch.tensor(owners)
        self.cuts = self.lengths[self.owners] if cuts is None else torch.tensor(cuts)
        self.born, self.step = torch.zeros_like(self.cuts), 0
        self._arrange()
        for key, _ in self.prompt:
            _, K, _, E = key.shape
            shape = (len(owners), K, self.capacity, E)
            self.own.append((key.new_empty(shape), key.new_empty(shape)))

    def _arrange(self) -> None:
        """Give each row its place in a grid (P, G), and hide what lies behind its cut."""
        P, R = len(self.lengths), len(self.owners)
        counts = torch.bincount(self.owners, minlength=P)
        self.width = int(counts.max())
        before = torch.cumsum(counts, 0) - counts
        self.slots = self.owners * self.width + torch.arange(R) - before[self.owners]
        self.full = P * self.width == R
        self.late = bool(self.born.any())
        self._longest = int((self.cuts - self.born).max())
        L = self.prompt[0][0].shape[2]
        # A place without a row sees everything: its scores must be finite, and go nowhere.
        hidden = torch.arange(L) >= self._grid(self.cuts, L)[..., None]
        self.prompt_mask = torch.zeros(hidden.shape).masked_fill_(hidden, float("-inf"))
        self._look()

    def _grid(self, values: torch.Tensor, idle: int = 0) -> torch.Tensor:
        """Return numbers of rows (R,) as (P, G)."""
        grid = torch.full((len(self.lengths) * self.width,), idle)
        grid[self.slots] = values
        return grid.view(-1, self.width)

    def _look(self) -> None:
        """Hide (P, G, N) the tokens in a row's buffer from before it was born."""
        self.filled = min(self.step + 1, self.capacity)
        self.own_mask = None
        if self.late:
            old = self._ages() > self._grid(self.step - self.born, self.capacity)[..., None]
            self.own_mask = torch.zeros(old.shape).masked_fill_(old, float("-inf"))

    def _ages(self) -> torch.Tensor:
        """Return how many steps ago each place (N,) of the own buffers was written."""
        return (self.step - torch.arange(self.filled)) % self.capacity

    def advance(self) -> None:
        """Go on to the next step: every row's token of this one is there."""
        self.step += 1
        self._look()

    @property
    def positions(self) -> torch.Tensor:
        """The position (R, 1) of each row's next token."""
        return (self.cuts + self.step - self.born)[:, None]

    @property
    def pairs(self) -> int:
        """How many query-key pairs of a layer and head a step computes, empty places included."""
        P, G, L = self.prompt_mask.shape
        return P * G * L + len(self.owners) * self.filled

    def masks(self, window: int | None) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return what the next token adds to its scores: (P, G, L) of prompts, (…, N) of own ones.

        With a sliding `window` only that many tokens are seen, the token itself among them.
        None where no own token is hidden.
        """
        if window is None or self._longest + self.step < window:
            return self.prompt_mask, self.own_mask
        L = self.prompt_mask.shape[2]
        far = self._grid(self.positions[:, 0])[..., None] - torch.arange(L) >= window
        prompt = self.prompt_mask.masked_fill(far, float("-inf"))
        if self.step < window:
            return prompt, self.own_mask
        own = torch.zeros(self.filled) if self.own_mask is None else self.own_mask
        return prompt, own.masked_fill(self._ages() >= window, float("-inf"))

    def thin(self, living: Sequence[bool]) -> list[int] | None:
        """Drop ended rows once they are a quarter of the batch or more.

        Returns for each row that is left which one it was, or None where all rows stay.
        """
        left = [at for at, lives in enumerate(living) if lives]
        if len(left) > WORTH_THINNING * len(living):
            return None
        self.keep(left)
        return left

    def keep(self, left: Sequence[int]) -> None:
        """Keep only these rows, in order, and their prompts."""
        rows = torch.tensor(left)
        prompts, self.owners = self.owners[rows].unique(return_inverse=True)
        fewer = len(prompts) < len(self.lengths)
        # One layer at a time, so that no more than one is there twice.
        for layer, ((k, v), (own_k, own_v)) in enumerate(zip(self.prompt, self.own, strict=True)):
            if fewer:
                self.prompt[layer] = k[prompts], v[prompts]
            self.own[layer] = self._kept(own_k, rows), self._kept(own_v, rows)
        self.lengths = self.lengths[prompts]
        self.cuts, self.born = self.cuts[rows], self.born[rows]
        self._arrange()

    def _kept(self, own: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """Return the rows of a buffer; only the tokens that are there are copied."""
        made = own.new_empty((len(rows), *own.shape[1:]))
        filled = min(self.step, self.capacity)
        made[:, :, :filled] = own[:, :, :filled].index_select(0, rows)
        return made

    def join(self, other: GroupCache) -> None:
        """Take in another batch that has begun and not stepped yet; it is used up by that."""
        for layer, (mine, theirs) in enumerate(zip(self.prompt, other.prompt, strict=True)):
            L = max(mine[0].shape[2], theirs[0].shape[2])
            key, value = (_longer(a, b, L) for a, b in zip(mine, theirs, strict=True))
            self.prompt[layer] = key, value
            for own in other.own[layer]:
                own[:, :, : self.step].zero_()  # hidden, but to be finite as well
            pairs = zip(self.own[layer], other.own[layer], strict=True)
            key, value = (torch.cat(pair) for pair in pairs)
            self.own[layer] = key, value
            other.prompt[layer] = other.own[layer] = (key[:0], value[:0])
        self.owners = torch.cat([self.owners, other.owners + len(self.lengths)])
        self.lengths = torch.cat([self.lengths, other.lengths])
        self.cuts = torch.cat([self.cuts, other.cuts])
        self.born = torch.cat([self.born, torch.full_like(other.born, self.step)])
        self._arrange()

    def of_prompt(self, row: int, start: int) -> list[Pair]:
        """Return by layer a copy (K, N, E) of a row's prompt, from `start` to what is filled."""
        p = int(self.owners[row])
        end = int(self.lengths[p])
        return [(k[p, :, start:end].clone(), v[p, :, start:end].clone()) for k, v in self.prompt]

    def of_row(self, row: int) -> list[Pair]:
        """Return by layer a copy (K, N, E) of what a row has fed back since it was born."""
        steps = torch.arange(int(self.born[row]), self.step) % self.capacity
        return [(k[row][:, steps], v[row][:, steps]) for k, v in self.own]


def _longer(mine: torch.Tensor, theirs: torch.Tensor, length: int) -> torch.Tensor:
    """Return prompts (P, K, L, E) of two batches in one, all of one length."""
    padded = (F.pad(one, (0, 0, 0, length - one.shape[2])) for one in (mine, theirs))
    return torch.cat(list(padded))

"""Goes on from a draft where the model itself doubts it: one pass, then only changed lines.

A model asked to correct a text mostly copies it. The copy need not be decoded: one forward
pass over prompt and draft gives, at every token, how likely something else was. The
likeliest departures are taken, each continued greedily to the end of its line, and the rest
of the draft is kept. It does not know what the text means.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from toprope.policy.cache import GroupCache
from toprope.policy.device import on_device
from toprope.policy.packed import packed_weights
from toprope.policy.spans import prefill

MOST_TOKENS = 40
MOST_IN_A_LINE = 3
_AT_ONE_TOKEN = 2


@dataclass(slots=True)
class Branch:
    """A departure from a draft: after `cut` of its tokens, `ids` came instead.

    `chance` is the model's probability of the first of them.
    """

    cut: int
    chance: float
    ids: list[int] = field(default_factory=list)
    ended: bool = False


@dataclass(frozen=True, slots=True)
class Draft:
    """A conversation's token ids and those of the answer to depart from."""

    prompt_ids: tuple[int, ...]
    ids: tuple[int, ...]


# (text before, departing piece) -> whether it is worth a continuation
Allows = Callable[[str, str], bool]


class Brancher:
    """Finds and continues departures.

    Args:
        model: a causal model with attention implementation `attention.NAME`.
        texts: the text of every token id, None for special ones.
    """

    def __init__(self, model: Any, texts: Sequence[str | None]) -> None:
        self.model, self.texts = model, texts

    def branches(self, drafts: Sequence[Draft], count: int, allows: Allows) -> list[list[Branch]]:
        """Return for each draft at most `count` departures, the likeliest first."""
        prompts = [draft.prompt_ids + draft.ids for draft in drafts]
        layers = self.model.config.num_hidden_layers
        packed = packed_weights(self.model, len(drafts) * count)
        with torch.inference_mode(), on_device(self.model), packed:
            cache = GroupCache([len(ids) for ids in prompts], layers, MOST_TOKENS)
            found: list[list[Branch]] = []
            for span, hidden in prefill(self.model, cache, prompts):
                at = 0
                for p in span:
                    size, start = len(prompts[p]), len(drafts[p].prompt_ids)
                    # The state before a token predicts it.
                    states = hidden[at + start - 1 : at + size - 1]
                    found.append(self._doubts(states, drafts[p], count, allows))
                    at += size
            self._continue(cache, drafts, found)
        return found

    def _doubts(
        self, states: torch.Tensor, draft: Draft, count: int, allows: Allows
    ) -> list[Branch]:
        """Return the likeliest departures from a draft, few of them in one line."""
        chances = torch.softmax(self.model.lm_head(states).float(), dim=-1)
        chances[torch.arange(len(draft.ids)), torch.tensor(draft.ids)] = 0.0
        top = chances.topk(_AT_ONE_TOKEN, dim=-1)
        offers = sorted(
            (
                (-chance, cut, token)
                for cut, (row, ids) in enumerate(
                    zip(top.values.tolist(), top.indices.tolist(), strict=True)
                )
                for chance, token in zip(row, ids, strict=True)
            )
        )
        before = [
            "".join(self.texts[i] or "" for i in draft.ids[:cut]) for cut in range(len(draft.ids))
        ]
        lines: dict[int, int] = {}
        found: list[Branch] = []
        for chance, cut, token in offers:
            piece, line = self.texts[token], before[cut].count("\n")
            if piece is None or lines.get(line, 0) >= MOST_IN_A_LINE:
                continue
            if allows(before[cut], piece):
                lines[line] = lines.get(line, 0) + 1
                found.append(Branch(cut, -chance, [token], "\n" in piece))
            if len(found) == count:
                break
        return found

    def _continue(
        self,
        cache: GroupCache,
        drafts: Sequence[Draft],
        found: Sequence[Sequence[Branch]],
    ) -> None:
        """Add to every departure the likeliest tokens up to the end of its line."""
        rows = [b for group in found for b in group]
        if not rows:
            return
        owners = [at for at, group in enumerate(found) for _ in group]
        cuts = [len(drafts[at].prompt_ids) + b.cut for at, b in zip(owners, rows, strict=True)]
        cache.begin(owners, cuts)
        while not all(b.ended for b in rows) and cache.step + 1 < cache.capacity:
            left = cache.thin([not b.ended for b in rows])
            if left is not None:
                rows = [rows[at] for at in left]
            ids = torch.tensor([[b.ids[-1]] for b in rows])
            hidden = self.model.model(
                input_ids=ids, position_ids=cache.positions, use_cache=False, cache=cache
            ).last_hidden_state[:, 0]
            cache.advance()
            for branch, token in zip(
                rows, self.model.lm_head(hidden).argmax(-1).tolist(), strict=True
            ):
                if not branch.ended:
                    branch.ids.append(token)
                    piece = self.texts[token]
                    branch.ended = piece is None or "\n" in piece

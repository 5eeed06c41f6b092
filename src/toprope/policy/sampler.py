"""The in-process sampler: prompts in, token-exact completions out, one prefill a group.

Reads the same weights the learner steps. Its calls are plain data (ids in, ids and
log-probabilities out) and idempotent by episode id. It does not know tasks or rewards.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from toprope.policy import attention
from toprope.policy.adapters import without_adapters
from toprope.policy.asks import Ask, Work
from toprope.policy.cache import GroupCache
from toprope.policy.device import on_device
from toprope.policy.draw import draw, greedy
from toprope.policy.following import Draft, follow
from toprope.policy.guide import Guide
from toprope.policy.opening import Opening
from toprope.policy.packed import packed_weights
from toprope.policy.randomness import episode_uniforms
from toprope.policy.spans import prefill
from toprope.terms import Completion


@dataclass(slots=True)
class _Row:
    """An episode in flight."""

    ask: int
    episode_id: str
    uniforms: np.ndarray
    ids: list[int]
    logprobs: list[float]
    copied: int = 0
    text: str = ""
    stop: str | None = None


class TorchSampler:
    """Samples from a transformers causal model in this process.

    Args:
        model: the policy, with attention implementation `attention.NAME`.
        guide: ends episodes that cannot become an action any more.
        seed: with the episode id it fixes every draw.
        max_tokens: the longest completion, in tokens beyond what it copies of a draft.
        max_rows: how many episodes decode at once.
        base: sample from the model without its adapters.
    """

    def __init__(
        self,
        model: Any,
        guide: Guide,
        *,
        seed: int,
        max_tokens: int = 48,
        max_rows: int = 128,
        base: bool = False,
    ) -> None:
        self.model, self.guide, self.base = model, guide, base
        self.seed, self.max_tokens, self.max_rows = seed, max_tokens, max_rows
        self.work = Work()
        model.set_attn_implementation(attention.NAME)

    def sample(
        self, asks: Sequence[Ask], *, temperature: float = 1.0, constrain: bool = False
    ) -> list[Completion]:
        """Return one completion per episode, in the order asked.

        `temperature` 0 is greedy; log-probabilities are of the distribution sampled from
        (of the unscaled one when greedy). `constrain` draws only tokens the guide allows.
        """
        if len({bool(ask.draft_ids) for ask in asks}) > 1:
            raise ValueError("either every ask has a draft or none has")
        rows = [
            _Row(at, episode, self._uniforms(ask, number), [], [], text=ask.begun)
            for at, ask in enumerate(asks)
            for episode, number in zip(ask.episode_ids, ask.numbers or ask.episode_ids, strict=True)
        ]
        self.model.eval()
        with ExitStack() as stack:
            stack.enter_context(torch.inference_mode())
            stack.enter_context(on_device(self.model))
            if self.base:
                stack.enter_context(without_adapters(self.model))
            stack.enter_context(packed_weights(self.model, min(len(rows), self.max_rows)))
            for batch in self._batches(asks, rows):
                self._sample_batch(asks, batch, temperature, constrain)
        return [
            Completion(
                row.episode_id,
                tuple(row.ids),
                tuple(row.logprobs),
                row.stop or "length",
                row.copied,
            )
            for row in rows
        ]

    def _uniforms(self, ask: Ask, number: str) -> np.ndarray:
        return episode_uniforms(self.seed, number, len(ask.draft_ids) + self.max_tokens)

    def _batches(self, asks: Sequence[Ask], rows: list[_Row]) -> Iterator[list[list[_Row]]]:
        """Yield batches of whole groups, prompts of like length together."""
        groups: dict[int, list[_Row]] = {}
        for row in rows:
            groups.setdefault(row.ask, []).append(row)
        batch: list[list[_Row]] = []
        for at in sorted(groups, key=lambda a: (len(asks[a].context), a)):
            width = max([len(groups[at]), *(len(group) for group in batch)])
            if batch and width * (len(batch) + 1) > self.max_rows:
                yield batch
                batch = []
            batch.append(groups[at])
        if batch:
            yield batch

    def _sample_batch(
        self, asks: Sequence[Ask], groups: list[list[_Row]], temperature: float, constrain: bool
    ) -> None:
        width = max(len(group) for group in groups)
        slots = [row for group in groups for row in _pad(group, width)]
        opened = [asks[group[0].ask] for group in groups]
        cache, hidden = self._prefill(opened, groups, temperature, constrain)
        drafted = bool(opened[0].draft_ids)
        if drafted:
            whole = [len(ask.prompt_ids) for ask in opened for _ in range(width)]
            cuts = [at + (row.copied if row else 0) for at, row in zip(whole, slots, strict=True)]
            cache.begin(width, torch.tensor(cuts).view(-1, width))
            ids = torch.tensor([row.ids[-1] if row else 0 for row in slots])
        else:
            cache.begin(width)
            ids = self._choose(hidden.repeat_interleave(width, 0), slots, temperature, constrain)
        for _ in range(1, self.max_tokens):
            if not any(map(_alive, slots)):
                return
            slots, ids = self._compact(cache, slots, ids)
            hidden = self.model.model(
                input_ids=ids[:, None], position_ids=cache.positions, use_cache=False, cache=cache
            ).last_hidden_state[:, 0]
            cache.step += 1
            self.work.add(len(slots), cache.prompt_mask.shape[2] + cache.step)
            ids = self._choose(hidden, slots, temperature, constrain and not drafted)

    def _prefill(
        self, asks: list[Ask], groups: list[list[_Row]], temperature: float, constrain: bool
    ) -> tuple[GroupCache, torch.Tensor]:
        """Return the filled cache and the last-token hidden states (P, D); open on drafts."""
        rooms = [len(ask.context) for ask in asks]
        cache = GroupCache(rooms, self.model.config.num_hidden_layers, self.max_tokens)
        last = []
        for span, hidden in prefill(self.model, cache, [ask.prompt_ids for ask in asks]):
            ends = cache.lengths[span.start : span.stop].cumsum(0)
            last.append(hidden[ends - 1])
        states = torch.cat(last)
        if asks[0].draft_ids:
            self._open(cache, asks, groups, states, temperature, constrain)
        for size in cache.lengths.tolist():
            self.work.add(size, size)
        return cache, states

    def _open(
        self,
        cache: GroupCache,
        asks: list[Ask],
        groups: list[list[_Row]],
        states: torch.Tensor,
        temperature: float,
        constrain: bool,
    ) -> None:
        """Follow groups along their drafts up to each episode's first token of its own."""
        drafts = [
            Draft(
                ask.draft_ids,
                np.stack([row.uniforms for row in rows]),
                ask.held if constrain else 0,
            )
            for ask, rows in zip(asks, groups, strict=True)
        ]
        found = follow(self.model, cache, drafts, states, self._logits, temperature=temperature)
        for ask, rows, opened in zip(asks, groups, found, strict=True):
            for row, opening in zip(rows, opened, strict=True):
                self._depart(ask, row, opening)

    def _depart(self, ask: Ask, row: _Row, opening: Opening) -> None:
        """Note what an episode copied, how it departed, and whether that ends it."""
        row.ids, row.logprobs, row.copied = opening.ids, opening.logprobs, opening.copied
        if row.copied == len(ask.draft_ids):
            row.stop = "stop"
        elif row.copied < ask.held:
            row.stop = "malformed"
        else:
            row.text, row.stop = self.guide.advance("", row.ids[-1])

    def _choose(
        self,
        hidden: torch.Tensor,
        slots: list[_Row | None],
        temperature: float,
        constrain: bool,
    ) -> torch.Tensor:
        """Draw the next token of every living row and note it; return the ids (R,)."""
        logits = self._logits(hidden)
        if constrain:
            free = torch.ones(logits.shape[1], dtype=torch.bool)
            masks = [
                self.guide.mask(row.text) if row is not None and row.stop is None else free
                for row in slots
            ]
            logits.masked_fill_(~torch.stack(masks), float("-inf"))
        if temperature > 0:
            uniforms = [
                row.uniforms[len(row.ids)] if row is not None and row.stop is None else 0.0
                for row in slots
            ]
            if temperature != 1.0:
                logits /= temperature
            drawn = draw(logits, torch.tensor(uniforms))
        else:
            drawn = greedy(logits)
        for row, token, logprob in zip(
            slots, drawn.ids.tolist(), drawn.logprobs.tolist(), strict=True
        ):
            if row is not None and row.stop is None:
                row.ids.append(token)
                row.logprobs.append(logprob)
                row.text, row.stop = self.guide.advance(row.text, token)
        return drawn.ids

    def _logits(self, states: torch.Tensor) -> torch.Tensor:
        """Return new logits (M, V), float, of hidden states (M, D)."""
        self.work.logits += len(states)
        logits: torch.Tensor = self.model.lm_head(states).float()
        return logits

    def _compact(
        self, cache: GroupCache, slots: list[_Row | None], ids: torch.Tensor
    ) -> tuple[list[_Row | None], torch.Tensor]:
        """Drop finished rows where that is worth it."""
        left = cache.thin([_alive(row) for row in slots])
        if left is None:
            return slots, ids
        kept = [None if at is None else slots[at] for at in left]
        return kept, ids[torch.tensor([at or 0 for at in left])]


def _alive(row: _Row | None) -> bool:
    return row is not None and row.stop is None


def _pad(group: list[_Row], width: int) -> list[_Row | None]:
    return [*group, *[None] * (width - len(group))]

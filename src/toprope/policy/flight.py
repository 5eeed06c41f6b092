"""Episodes in flight: a batch that decodes a token a step and is filled up as episodes end.

Nobody waits for the longest: rows that have ended are dropped, and groups that wait take
their place in mid-batch. It does not know whose weights these are, or what an answer means
beyond what the guide says.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
import torch

from toprope.policy.asks import Ask, Ended, Work
from toprope.policy.cache import WORTH_THINNING, GroupCache
from toprope.policy.draw import draw, greedy
from toprope.policy.following import Draft, follow
from toprope.policy.guide import Guide
from toprope.policy.opening import Opening
from toprope.policy.retained import Kept, Retained, Stretch, Use, cropped
from toprope.policy.spans import prefill
from toprope.terms import Completion

LOST = "lost"


@dataclass(slots=True)
class Row:
    """An episode in flight.

    `known` is what was kept of its prompt when it began, `group` whom it shares its prompt with.
    """

    ask: Ask
    episode_id: str
    uniforms: np.ndarray
    turn_of: str = ""
    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    copied: int = 0
    text: str = ""
    stop: str | None = None
    known: tuple[Use, ...] = ()
    group: int = 0

    @property
    def completion(self) -> Completion:
        """What it came to; for one that has ended."""
        stop = self.stop or "length"
        return Completion(self.episode_id, tuple(self.ids), tuple(self.logprobs), stop, self.copied)

    def restart(self) -> None:
        """Forget what was drawn: the same numbers will draw it again."""
        self.ids, self.logprobs, self.copied = [], [], 0
        self.text, self.stop, self.known = self.ask.begun, None, ()


@dataclass(frozen=True, slots=True)
class Manner:
    """How a call draws: `most_tokens` beyond what is copied of a draft, `most_rows` at once."""

    temperature: float
    constrain: bool
    most_tokens: int
    most_rows: int


class Flight:
    """Decodes groups of rows, each group of one ask, in the order given."""

    def __init__(
        self,
        model: Any,
        guide: Guide,
        groups: Sequence[list[Row]],
        manner: Manner,
        retained: Retained,
        work: Work,
        ended: Ended | None = None,
    ) -> None:
        self.model, self.guide, self.manner = model, guide, manner
        self.retained, self.work, self.ended = retained, work, ended
        self.waiting = deque(groups)
        self.rows: list[Row] = []
        self.cache: GroupCache | None = None
        self._opened = 0
        self._prompts = WeakValueDictionary[int, Stretch]()  # as kept, by group

    def run(self) -> None:
        """Decode until every row has ended."""
        while self._admit():
            self._step()

    def _admit(self) -> bool:
        """Take in waiting groups where that is worth it; return whether anything is left to do."""
        living = [at for at, row in enumerate(self.rows) if row.stop is None]
        while self.waiting and len(living) <= WORTH_THINNING * self.manner.most_rows:
            groups = self._next(self.manner.most_rows - len(living))
            if not groups:
                break
            self._begin(groups, living)
            living = [at for at, row in enumerate(self.rows) if row.stop is None]
        return bool(living)

    def _next(self, room: int) -> list[list[Row]]:
        """Take the waiting groups that fit."""
        taken: list[list[Row]] = []
        while self.waiting and len(self.waiting[0]) <= room:
            taken.append(self.waiting.popleft())
            room -= len(taken[-1])
        return taken

    def _begin(self, groups: list[list[Row]], living: list[int]) -> None:
        """Open groups, and put those of their rows that go on beside the living ones."""
        rows = [row for group in groups for row in group]
        survivors = [self.rows[at] for at in living]
        self.rows = [*survivors, *rows]  # told before the memory is asked for
        if not survivors:
            self.cache = None
        fresh = self._prefill(groups)
        self._part_with(fresh, rows)
        if self.cache is None:
            self.cache, self.rows = fresh, rows
            return
        self.cache.keep(living)
        left = [at for at, row in enumerate(rows) if row.stop is None]
        if left:
            fresh.keep(left)
            self.cache.join(fresh)
        self.rows = [*survivors, *(rows[at] for at in left)]

    def _step(self) -> None:
        """Feed every row's last token, and draw the next ones."""
        cache = self.cache
        assert cache is not None
        left = cache.thin([row.stop is None for row in self.rows])
        if left is not None:
            self.rows = [self.rows[at] for at in left]
        ids = torch.tensor([row.ids[-1:] or [0] for row in self.rows])
        hidden = self.model.model(
            input_ids=ids, position_ids=cache.positions, use_cache=False, cache=cache
        ).last_hidden_state[:, 0]
        self.work.positions += len(self.rows)
        self.work.pairs += cache.pairs
        cache.advance()
        going = [row.stop is None for row in self.rows]
        drafted = bool(self.rows[0].ask.draft_ids)
        self._choose(hidden, self.rows, self.manner.constrain and not drafted)
        self._part_with(cache, self.rows, going)

    def _prefill(self, groups: list[list[Row]]) -> GroupCache:
        """Return a cache of groups that have begun: their first own token is drawn."""
        asks = [group[0].ask for group in groups]
        layers = self.model.config.num_hidden_layers
        cache = GroupCache([len(ask.context) for ask in asks], layers, self.manner.most_tokens)
        texts = [self._recalled(cache, p, group) for p, group in enumerate(groups)]
        last = []
        for span, hidden in prefill(self.model, cache, texts):
            ends = torch.tensor([len(texts[p]) for p in span]).cumsum(0)
            last.append(hidden[ends - 1])
        states = torch.cat(last)
        owners = [p for p, group in enumerate(groups) for _ in group]
        rows = [row for group in groups for row in group]
        starts = [len(ask.prompt_ids) - len(text) for ask, text in zip(asks, texts, strict=True)]
        if asks[0].draft_ids:
            self._open(cache, groups, states)
            cuts = [len(row.ask.prompt_ids) + row.copied for row in rows]
            cache.begin(owners, cuts)
        else:
            cache.begin(owners)
            self._choose(states[torch.tensor(owners)], rows, self.manner.constrain)
        for start, whole in zip(starts, cache.lengths.tolist(), strict=True):
            self.work.add(whole - start, whole)
        return cache

    def _recalled(self, cache: GroupCache, prompt: int, group: list[Row]) -> tuple[int, ...]:
        """Fill in what is kept of a group's prompt; return the tokens that are left to compute."""
        ids = group[0].ask.prompt_ids
        found = [self.retained.recall(row.turn_of, ids) for row in group if row.turn_of]
        known = max(found, key=_size, default=())
        for use in known:
            cache.recall(prompt, use.stretch.layers, use.size)
        self._opened += 1
        for row in group:
            row.known, row.group = known, self._opened
        return ids[_size(known) :]

    def _part_with(
        self, cache: GroupCache, rows: Sequence[Row], going: Sequence[bool] = ()
    ) -> None:
        """Tell of rows that have just ended; what was computed of a conversation's turn is kept."""
        for at, row in enumerate(rows):
            if row.stop is None or (going and not going[at]):
                continue
            if row.turn_of and row.stop != LOST:
                self._keep(cache, at, row)
            if self.ended is not None:
                self.ended(row.completion)

    def _keep(self, cache: GroupCache, at: int, row: Row) -> None:
        """Keep a row's prompt, what it copied and what it has fed back; the last token was not."""
        start = _size(row.known)
        shared = self._prompts.get(row.group)
        if shared is None:
            shared = self._prompts[row.group] = Stretch(cache.of_prompt(at, start))
        context = (*row.ask.prompt_ids, *row.ids)
        own = Stretch(cache.of_row(at))
        cut = len(row.ask.prompt_ids) + row.copied
        uses = (*row.known, Use(shared, min(shared.size, cut - start)), Use(own, own.size))
        size = sum(use.size for use in uses)
        self.retained.keep(row.turn_of, Kept(context[:size], cropped(uses, size)))

    def _open(self, cache: GroupCache, groups: list[list[Row]], states: torch.Tensor) -> None:
        """Follow groups along their drafts up to each episode's first token of its own."""
        drafts = [
            Draft(
                group[0].ask.draft_ids,
                np.stack([row.uniforms for row in group]),
                group[0].ask.held if self.manner.constrain else 0,
            )
            for group in groups
        ]
        found = follow(
            self.model, cache, drafts, states, self._logits, temperature=self.manner.temperature
        )
        for group, opened in zip(groups, found, strict=True):
            for row, opening in zip(group, opened, strict=True):
                self._depart(row, opening)

    def _depart(self, row: Row, opening: Opening) -> None:
        """Note what an episode copied, how it departed, and whether that ends it."""
        row.ids, row.logprobs, row.copied = opening.ids, opening.logprobs, opening.copied
        if not all(map(math.isfinite, row.logprobs)):
            self._lose(row)
        elif row.copied == len(row.ask.draft_ids):
            row.stop = "stop"
        elif row.copied < row.ask.held:
            row.stop = "malformed"
        else:
            row.text, row.stop = self.guide.advance("", row.ids[-1])
            self._limit(row)

    def _choose(self, hidden: torch.Tensor, rows: Sequence[Row], constrain: bool) -> None:
        """Draw the next token of every living row from hidden states (R, D), and note it."""
        logits = self._logits(hidden)
        if constrain:
            free = torch.ones(logits.shape[1], dtype=torch.bool)
            masks = [self.guide.mask(row.text) if row.stop is None else free for row in rows]
            logits.masked_fill_(~torch.stack(masks), float("-inf"))
        temperature = self.manner.temperature
        if temperature > 0:
            uniforms = [row.uniforms[len(row.ids)] if row.stop is None else 0.0 for row in rows]
            if temperature != 1.0:
                logits /= temperature
            drawn = draw(logits, torch.tensor(uniforms))
        else:
            drawn = greedy(logits)
        for row, token, logprob in zip(
            rows, drawn.ids.tolist(), drawn.logprobs.tolist(), strict=True
        ):
            if row.stop is not None:
                continue
            if not math.isfinite(logprob):
                self._lose(row)
                continue
            row.ids.append(token)
            row.logprobs.append(logprob)
            row.text, row.stop = self.guide.advance(row.text, token)
            self._limit(row)

    def _limit(self, row: Row) -> None:
        """End an episode that has drawn as many tokens of its own as it may."""
        if row.stop is None and len(row.ids) - row.copied >= self.manner.most_tokens:
            row.stop = "length"

    @staticmethod
    def _lose(row: Row) -> None:
        """End an episode whose log-probability is no number: nothing of it is to be learnt."""
        row.ids, row.logprobs, row.copied, row.stop = [], [], 0, LOST

    def _logits(self, states: torch.Tensor) -> torch.Tensor:
        """Return new logits (M, V), float, of hidden states (M, D)."""
        self.work.logits += len(states)
        logits: torch.Tensor = self.model.lm_head(states).float()
        return logits


def _size(uses: Sequence[Use]) -> int:
    return sum(use.size for use in uses)

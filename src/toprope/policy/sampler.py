"""The in-process sampler: prompts in, token-exact completions out, one prefill a group.

Reads the same weights the learner steps. Its calls are plain data (ids in, ids and
log-probabilities out) and idempotent by episode id. It does not know tasks or rewards.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from toprope.policy import attention
from toprope.policy.adapters import without_adapters
from toprope.policy.asks import Ask, Ended, Work
from toprope.policy.device import OutOfMemory, on_device, telling_failures
from toprope.policy.flight import LOST, Flight, Manner, Row
from toprope.policy.guide import Guide
from toprope.policy.packed import packed_weights
from toprope.policy.randomness import episode_uniforms
from toprope.policy.retained import Retained
from toprope.policy.soundness import require_finite, stamp
from toprope.terms import Completion


class TorchSampler:
    """Samples from a transformers causal model in this process.

    Args:
        model: the policy, with attention implementation `attention.NAME`.
        guide: ends episodes that cannot become an action any more.
        seed: with the episode id it fixes every draw.
        max_tokens: the longest completion, in tokens beyond what it copies of a draft.
        max_rows: how many episodes decode at once; fewer once they were too many for the memory.
        base: sample from the model without its adapters.
        kept_bytes: how much is kept of turns that have ended, for asks with `turns_of`.
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
        kept_bytes: int = 1 << 30,
    ) -> None:
        self.model, self.guide, self.base = model, guide, base
        self.seed, self.max_tokens, self.max_rows = seed, max_tokens, max_rows
        self.work = Work()
        self.retained = Retained(kept_bytes)
        model.set_attn_implementation(attention.NAME)

    def sample(
        self,
        asks: Sequence[Ask],
        *,
        version: int = 0,
        temperature: float = 1.0,
        constrain: bool = False,
        ended: Ended | None = None,
    ) -> list[Completion]:
        """Return one completion per episode, in the order asked.

        The weights are those that the model has now, whatever `version` they are called.
        `temperature` 0 is greedy; log-probabilities are of the distribution sampled from
        (of the unscaled one when greedy). `constrain` draws only tokens the guide allows.
        An episode whose log-probabilities are no numbers is "lost". `ended` hears each episode
        within the step that ends it, while the others still decode.

        Raises:
            OutOfMemory: not even one episode fits.
            DeviceLost: the device failed.
            NotFinite: the weights are no numbers.
        """
        if len({bool(ask.draft_ids) for ask in asks}) > 1:
            raise ValueError("either every ask has a draft or none has")
        rows = [row for ask in asks for row in self._rows(ask)]
        self.retained.begin(stamp(self.model), [name for ask in asks for name in ask.turns_of])
        with self._ready(min(len(rows), self.max_rows)):
            while any(row.stop is None for row in rows):
                self._fly(
                    rows, Manner(temperature, constrain, self.max_tokens, self.max_rows), ended
                )
        if any(row.stop == LOST for row in rows):
            require_finite(self.model)
        return [row.completion for row in rows]

    def _rows(self, ask: Ask) -> Iterator[Row]:
        count = len(ask.draft_ids) + self.max_tokens
        for episode, number, turn_of in zip(
            ask.episode_ids,
            ask.numbers or ask.episode_ids,
            ask.turns_of or [""] * len(ask.episode_ids),
            strict=True,
        ):
            uniforms = episode_uniforms(self.seed, number, count)
            yield Row(ask, episode, uniforms, turn_of, text=ask.begun)

    @contextmanager
    def _ready(self, rows: int) -> Iterator[None]:
        """Have the model as it samples, and the device's failures named."""
        self.model.eval()
        with ExitStack() as stack:
            stack.enter_context(torch.inference_mode())
            stack.enter_context(on_device(self.model))
            if self.base:
                stack.enter_context(without_adapters(self.model))
            stack.enter_context(packed_weights(self.model, rows))
            yield

    def _fly(self, rows: Sequence[Row], manner: Manner, ended: Ended | None) -> None:
        """Decode the rows that have not ended; where memory does not allow it, some of them.

        What has ended stays, and what was on its way begins again with the same numbers, half
        as many at once.
        """
        groups = self._groups([row for row in rows if row.stop is None])
        flight = Flight(self.model, self.guide, groups, manner, self.retained, self.work, ended)
        try:
            with telling_failures(self.model):
                flight.run()
            return
        except OutOfMemory:
            tried = len(flight.rows)
            if tried <= 1:
                raise
        # Not above: an error being handled holds on to what its frames hold.
        del flight
        gc.collect()
        self.retained.clear()
        self.max_rows = tried // 2
        for row in rows:
            if row.stop is None:
                row.restart()

    def _groups(self, rows: Sequence[Row]) -> list[list[Row]]:
        """Return rows by ask, none of more rows than fit, prompts of like length together."""
        by_ask: dict[int, list[Row]] = {}
        for row in rows:
            by_ask.setdefault(id(row.ask), []).append(row)
        groups = sorted(by_ask.values(), key=lambda group: len(group[0].ask.context))
        most = self.max_rows
        return [group[at : at + most] for group in groups for at in range(0, len(group), most)]

"""A chat model in this process: conversations in, texts out, many at once.

The way to draw thousands of attempts from a local model without a server: a conversation's
prompt is computed once for all its draws. It does not know tasks or what an answer is worth.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import transformers

from toprope.policy.asks import Ask
from toprope.policy.branch import Allows, Branch, Brancher, Draft
from toprope.policy.guide import Guide
from toprope.policy.load import load_model, load_tokenizer
from toprope.policy.sampler import TorchSampler

Messages = Sequence[Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Said:
    """One drawn text, cut before its stop; `finish` is "stop" or "length"."""

    text: str
    finish: str
    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True, slots=True)
class Departure:
    """Where a draft was left: after `before` came `new`, which began with probability `chance`."""

    before: str
    new: str
    chance: float
    prompt_tokens: int
    completion_tokens: int


class ChatSampler:
    """Draws answers of a transformers folder; `seed` and a draw's id fix every token.

    Args:
        folder: as `policy.load.resolve` returns it.
        stop: the text that ends an answer, beside the model's own end.
        max_tokens: the longest answer.
        max_rows: how many answers decode at once.
    """

    def __init__(
        self, folder: Path, *, stop: str, max_tokens: int, max_rows: int, seed: int = 0
    ) -> None:
        self.tokenizer = load_tokenizer(folder)
        model = load_model(folder, dtype="bfloat16")
        guide = Guide(self.tokenizer, lambda text: True, stop, model.config.vocab_size)
        self.sampler = TorchSampler(
            model, guide, seed=seed, max_tokens=max_tokens, max_rows=max_rows
        )
        self.stop = stop
        self._texts = guide.texts
        self._brancher = Brancher(model, guide.texts)

    @property
    def build(self) -> str:
        """What computes here, for a recording's provenance."""
        return (
            f"toprope in-process sampler, torch {torch.__version__}, "
            f"transformers {transformers.__version__}, bf16"
        )

    def answers(
        self, talks: Sequence[tuple[Messages, Sequence[str]]], *, temperature: float
    ) -> list[list[Said]]:
        """Return for each (conversation, draw ids) its answers, in the order of the ids."""
        asks = [Ask(self._ids(messages), tuple(ids)) for messages, ids in talks]
        drawn = iter(self.sampler.sample(asks, temperature=temperature))
        found = []
        for ask in asks:
            completions = [next(drawn) for _ in ask.episode_ids]
            found.append([self._said(len(ask.prompt_ids), c.ids, c.stop) for c in completions])
        return found

    def departures(
        self, talks: Sequence[tuple[Messages, str]], count: int, allows: Allows
    ) -> list[list[Departure]]:
        """Return for each (conversation, draft answer) where the model would rather depart.

        `allows(before, piece)` says whether a piece may begin a departure there.
        """
        drafts = [
            Draft(self._ids(messages), tuple(self.tokenizer.encode(text, add_special_tokens=False)))
            for messages, text in talks
        ]
        found = self._brancher.branches(drafts, count, allows)
        return [
            [self._departure(draft, branch) for branch in group]
            for draft, group in zip(drafts, found, strict=True)
        ]

    def _departure(self, draft: Draft, branch: Branch) -> Departure:
        return Departure(
            before=self.tokenizer.decode(draft.ids[: branch.cut]),
            new="".join(self._texts[i] or "" for i in branch.ids),
            chance=branch.chance,
            prompt_tokens=len(draft.prompt_ids) + branch.cut,
            completion_tokens=len(branch.ids),
        )

    def _ids(self, messages: Messages) -> tuple[int, ...]:
        return tuple(
            self.tokenizer.apply_chat_template(
                messages, add_generation_prompt=True, tokenize=True, return_dict=False
            )
        )

    def _said(self, prompt_tokens: int, ids: Sequence[int], stop: str) -> Said:
        text = self.tokenizer.decode(ids, skip_special_tokens=True).split(self.stop)[0]
        finish = "length" if stop == "length" else "stop"
        return Said(text, finish, prompt_tokens, len(ids))

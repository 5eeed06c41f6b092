"""Follows a dialect's grammar token by token: ends hopeless episodes, constrains granted ones.

Knows token texts and two functions of a dialect, never a task.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch


def ends_of(model: Any) -> tuple[int, ...]:
    """Return the ids that end an answer by a model's own account, which may be several."""
    told = getattr(model, "generation_config", None)
    ends = getattr(told, "eos_token_id", None)
    return () if ends is None else (ends,) if isinstance(ends, int) else tuple(ends)


class Guide:
    """What a text may still become, by a dialect's `could_continue`.

    `constrain` turns the guide from a judge (an episode that cannot become an action any
    more is ended at once) into a rail (only tokens that keep it possible are drawn).
    """

    def __init__(
        self,
        tokenizer: Any,
        could_continue: Callable[[str], bool],
        stop: str | Sequence[str],
        vocabulary: int,
        ends: Iterable[int] = (),
    ) -> None:
        """`stop` are texts of which any ends an answer; `ends` are ids that do, beside the
        tokenizer's own end."""
        self.could_continue = could_continue
        self.stops = (stop,) if isinstance(stop, str) else tuple(stop)
        self.eos = int(tokenizer.eos_token_id)
        self.ends = frozenset({self.eos, *ends})
        special = set(tokenizer.all_special_ids)
        known = min(vocabulary, len(tokenizer))
        texts = tokenizer.batch_decode([[i] for i in range(known)])
        self.texts = [None if i in special else text for i, text in enumerate(texts)]
        self.texts += [None] * (vocabulary - known)
        self._masks: dict[str, torch.Tensor] = {}

    def advance(self, text: str, token: int) -> tuple[str, str | None]:
        """Return the text with `token` added and why the episode ends there, or None."""
        piece = self.texts[token]
        if token in self.ends:
            return text, "stop"
        if piece is None:
            return text, "malformed"
        text += piece
        head = self._head(text)
        if head is not None:
            return head, "stop" if self.could_continue(head) else "malformed"
        return text, None if self.could_continue(text) else "malformed"

    def _head(self, text: str) -> str | None:
        """Return what comes before the first text that ends an answer, or None without one."""
        found = [text.index(stop) for stop in self.stops if stop in text]
        return text[: min(found)] if found else None

    def mask(self, text: str) -> torch.Tensor:
        """Return which tokens (V,) keep `text` possible; digits stand for one another."""
        state = re.sub(r"\d", "0", text) if "|" not in text else "0|"
        if state not in self._masks:
            allowed = [self._fits(state, piece) for piece in self.texts]
            for end in self.ends:
                allowed[end] = "|" in state
            self._masks[state] = torch.tensor(allowed)
        return self._masks[state]

    def _fits(self, state: str, piece: str | None) -> bool:
        """Return whether a token may follow: an answer may end only once it is an action."""
        if piece is None:
            return False
        head = self._head(state + piece)
        if head is None:
            return self.could_continue(state + piece)
        return self.could_continue(head) and "|" in head

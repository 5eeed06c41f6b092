"""Counts what a climb uses, per phase: tokens, FLOPs, seconds and episodes.

FLOPs: 2 per parameter and position in a forward pass, 6 in training, the attention term
added, the vocabulary head only where logits are computed; a frozen parameter takes 4 in
training. What is computed counts: padding and finished rows too, which the token counts leave
out.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from toprope.ledger.rows import Meter


@dataclass(frozen=True, slots=True)
class Shape:
    """The numbers of a model that FLOPs depend on."""

    body: int  # parameters of the matrices in all layers
    head: int  # parameters of the vocabulary projection
    layers: int
    width: int  # query heads times head width
    frozen: int = 0  # parameters of `body` without a gradient
    frozen_head: int = 0  # `head`, if it has none

    @classmethod
    def of(cls, model: Any) -> Shape:
        """Read the shape off a transformers causal model."""
        config = model.config
        width = getattr(config, "head_dim", None) or (
            config.hidden_size // config.num_attention_heads
        )
        matrices = [p for p in model.model.layers.parameters() if p.dim() == 2]
        head = config.vocab_size * config.hidden_size
        return cls(
            body=sum(p.numel() for p in matrices),
            head=head,
            layers=config.num_hidden_layers,
            width=width * config.num_attention_heads,
            frozen=sum(p.numel() for p in matrices if not p.requires_grad),
            frozen_head=0 if model.lm_head.weight.requires_grad else head,
        )

    @property
    def pairs_per_token(self) -> int:
        """How many query-key pairs of each layer and head cost what a token's matrices do."""
        return self.body // (2 * self.layers * self.width)

    def forward(self, positions: float, pairs: float, logits: float) -> float:
        """Return the FLOPs of a forward pass.

        `positions` are the tokens computed, padding included; `pairs` the query-key pairs of
        one layer and head; `logits` the positions that got a row of the vocabulary head.
        """
        attention = 4 * self.layers * self.width * pairs
        return 2 * self.body * positions + attention + 2 * self.head * logits

    def training(
        self,
        positions: float,
        pairs: float,
        logits: float,
        *,
        logits_again: bool = True,
        layers_again: bool = False,
    ) -> float:
        """Return the FLOPs of forward and backward.

        The head's forward is counted twice if `logits_again`, that of the layers if
        `layers_again`: checkpointing. It leaves out a layer's last product where nothing needs
        it, so where all weights are trained up to 7 % too many are counted.
        """
        spared = 2 * self.frozen * positions + 2 * self.frozen_head * logits
        again = 2 * self.head * logits if logits_again else 0.0
        if layers_again:
            again += self.forward(positions, pairs, 0)
        return 3 * self.forward(positions, pairs, logits) + again - spared


@dataclass
class Meters:
    """What the open iteration has used so far; `drain` hands it to the ledger."""

    iteration: int = 0
    counts: dict[str, dict[str, float]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(float))
    )
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    started: float = field(default_factory=time.monotonic)
    _mark: float = field(default_factory=time.monotonic)
    _open: list[str] = field(default_factory=list)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Book the time inside under `name`; time in a phase within goes to that one alone."""
        self._book()
        self._open.append(name)
        try:
            yield
        finally:
            self._book()
            self._open.pop()

    def _book(self) -> None:
        now = time.monotonic()
        self.seconds[self._open[-1] if self._open else "other"] += now - self._mark
        self._mark = now

    def since_start(self) -> float:
        """Return the seconds since these meters were made."""
        return time.monotonic() - self.started

    def count(self, phase: str, **amounts: float) -> None:
        """Add to a phase's counts (fields of `ledger.rows.Meter`)."""
        for name, amount in amounts.items():
            self.counts[phase][name] += amount

    def drain(self) -> tuple[list[Meter], dict[str, float]]:
        """Return the iteration's meters and seconds, and start anew."""
        self._book()
        rows = [
            Meter(
                iteration=self.iteration,
                phase=phase,
                processed_tokens=int(counts["processed_tokens"]),
                sampled_tokens=int(counts["sampled_tokens"]),
                trained_tokens=int(counts["trained_tokens"]),
                flops=counts["flops"],
                episodes=int(counts["episodes"]),
            )
            for phase, counts in sorted(self.counts.items())
        ]
        seconds = dict(self.seconds)
        self.counts.clear()
        self.seconds.clear()
        return rows, seconds

"""How a step is cut so that memory holds it: pieces, checkpointing, parts of a group.

The gradient is the same however a step is cut, but for rounding. It must not know how much
memory there is, nor who chose.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from functools import partial
from math import sqrt
from typing import Any

from torch.utils.checkpoint import checkpoint

from toprope.learn.packing import GroupRow, pieces


@dataclass(frozen=True, slots=True)
class Fit:
    """How a step is cut.

    `most_tokens` are the padded tokens of one backward pass (a row that is wider is a piece of
    its own); with `checkpointing` a layer is computed again in the backward pass instead of
    being kept (Chen et al. 2016, arXiv:1604.06174); `most_completions` of a group share a row,
    0 for all of them. `pairs_per_token` says how many query-key pairs cost as much as one
    token's matrices: with it long completions share a row only where that is less work.
    """

    most_tokens: int = 2048
    checkpointing: bool = False
    most_completions: int = 0
    pairs_per_token: int = 0

    def pieces(self, rows: Sequence[GroupRow]) -> list[list[GroupRow]]:
        """Return the rows as the batches of one backward pass each."""
        return pieces([part for row in rows for part in self._parts(row)], self.most_tokens)

    def smaller(self, rows: Sequence[GroupRow]) -> Fit | None:
        """Return the next way to cut these rows that takes less memory; None if there is none.

        Cheapest first: fewer rows a piece, then checkpointing (a third more work), then groups
        in parts, each of which computes the prompt again.
        """
        cut = self.pieces(rows)
        widest = max(piece[0].width for piece in cut)
        largest = max(piece[0].width * len(piece) for piece in cut)
        crowd = max(len(row.completions) for piece in cut for row in piece)
        if largest > widest:
            return replace(self, most_tokens=max(widest, largest // 2))
        if not self.checkpointing:
            return replace(self, checkpointing=True)
        if crowd > 1:
            few = min(self.most_tokens, largest)  # or the parts would share a piece again
            return replace(self, most_tokens=few, most_completions=(crowd + 1) // 2)
        return None

    def told(self) -> str:
        """Return the same in words."""
        words = [f"at most {self.most_tokens:,} packed tokens a backward pass"]
        if self.checkpointing:
            words.append("layers computed again instead of kept")
        if self.most_completions:
            words.append(f"at most {self.most_completions} answers of a group a row")
        return ", ".join(words)

    def _parts(self, row: GroupRow) -> list[GroupRow]:
        G = len(row.completions)
        most = min(self.most_completions or G, -(-G // self._worthwhile(row)))
        if most >= G:
            return [row]
        return [_part(row, slice(at, at + most)) for at in range(0, G, most)]

    def _worthwhile(self, row: GroupRow) -> int:
        """Return into how many rows a group is cut with the least work.

        With P tokens of prompt, W of completions and a token worth A pairs, k rows cost
        k P A + k (P + W/k)^2 pairs beside what k does not change: least at
        k = W / sqrt(P (P + A)).
        """
        if not self.pairs_per_token:
            return 1
        P = len(row.prompt_ids)
        best = (row.width - P) / sqrt(P * (P + self.pairs_per_token))
        return max(1, min(len(row.completions), int(best)))


DEFAULT_FIT = Fit()


def _part(row: GroupRow, chosen: slice) -> GroupRow:
    """Return some completions of a row; every field but the prompt has an entry for each."""
    values = {f.name: getattr(row, f.name) for f in fields(row) if f.name != "prompt_ids"}
    return replace(row, **{k: v[chosen] for k, v in values.items() if v is not None})


@contextmanager
def checkpointed(model: Any, wanted: bool) -> Iterator[None]:
    """Make the layers of `model` keep only their inputs for the backward pass inside."""
    layers = list(model.model.layers) if wanted else []
    try:
        for layer in layers:
            layer.__dict__["forward"] = partial(checkpoint, layer.forward, use_reentrant=False)
        yield
    finally:
        for layer in layers:
            layer.__dict__.pop("forward", None)

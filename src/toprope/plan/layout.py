"""How a served model is cut over chips, and how many sequences run at once.

It must not know models or chips.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt


@dataclass(frozen=True, slots=True)
class Layout:
    """A replica of `chips`, whose attention is cut `tensor` ways and copied `copies` times.

    Experts lie over all chips. `batch` counts the sequences of the whole replica. `stages`
    are pipeline stages, passed one after the other, so they hold more and save no time.
    """

    tensor: int
    copies: int = 1
    batch: float = 1.0
    stages: int = 1

    @property
    def chips(self) -> int:
        """Chips that work on one token at a time."""
        return self.tensor * self.copies


def labelled(
    tensor: int, copies: int, expert_tensor: int, expert_ways: int, batch: int, stages: int = 1
) -> Layout:
    """Return the layout that a measured row's labels mean; `batch` is per copy.

    `copies` is 0 where a row does not tell it; such rows are taken as they stand.

    Some rows carry the width twice: `tp 64, moe 8 x 8` and `tp 8, moe 1 x 8` have the same
    times to the last digit, batch by batch, and so have `tp 4, dp 4, ep 16` with batch 1 and
    `tp 4, dp 1, ep 4` with batch 4. Where both products are the square of one width, that
    width is meant.
    """
    if not copies:
        return Layout(tensor, 1, batch, stages)
    if copies > 1 and expert_tensor * expert_ways == tensor and tensor % copies == 0:
        # SGLang's way of saying it: copies are cut out of the tensor width.
        return Layout(tensor // copies, copies, batch * copies, stages)
    whole = tensor * copies
    width = isqrt(whole)
    doubled = width > 1 and width * width == whole == expert_tensor * expert_ways
    square = expert_tensor == expert_ways == width
    beside = tensor == copies == width and expert_ways == whole
    if doubled and (square or beside):
        if copies == whole:
            return Layout(1, width, batch * copies, stages)
        return Layout(width, 1, batch * copies, stages)
    return Layout(tensor, copies, batch * copies, stages)

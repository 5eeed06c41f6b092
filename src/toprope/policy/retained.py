"""Keys and values of turns that have ended, kept for the next turn of the same conversation.

Bounded in bytes, so that what is kept follows from what was asked, not from how much memory
happened to be free. It does not know models, rows or episodes: names, ids and tensors.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

from toprope.policy.cache import Pair


@dataclass(frozen=True, eq=False)
class Stretch:
    """Keys and values (K, N, E) of N consecutive tokens, by layer."""

    layers: Sequence[Pair]

    @property
    def size(self) -> int:
        """Return N."""
        return int(self.layers[0][0].shape[1])

    @property
    def bytes(self) -> int:
        """Return the memory that it takes."""
        return sum(one.numel() * one.element_size() for pair in self.layers for one in pair)


@dataclass(frozen=True, slots=True)
class Use:
    """The first `size` tokens of a stretch."""

    stretch: Stretch
    size: int


@dataclass(frozen=True, slots=True)
class Kept:
    """The tokens of a conversation so far, and where their keys and values are, in order.

    Stretches may be shared: conversations of one group begin with the same prompt.
    """

    ids: tuple[int, ...]
    uses: tuple[Use, ...]


class Retained:
    """Conversations by name, within `most_bytes`; the least recently used go first.

    Everything is dropped when the weights are others than those it was computed with.
    """

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes, self.bytes = most_bytes, 0
        self._kept: OrderedDict[str, Kept] = OrderedDict()
        self._shares: Counter[Stretch] = Counter()
        self._weights: Hashable = None
        self._waited: set[str] = set()

    def __len__(self) -> int:
        return len(self._kept)

    def begin(self, weights: Hashable, waited: Iterable[str]) -> None:
        """Begin a call under these weights; it will recall the names in `waited`.

        What a call still waits for is not dropped for what it has just computed: where turns
        come round and round and not all fit, those that do would else never be met.
        """
        if weights != self._weights:
            self.clear()
        self._weights, self._waited = weights, set(waited)

    def recall(self, name: str, ids: Sequence[int]) -> tuple[Use, ...]:
        """Return what is kept of the beginning of `ids`, short of their last token.

        That one is computed anew: its state is what the next token is drawn from.
        """
        self._waited.discard(name)
        kept = self._kept.get(name)
        if kept is None:
            return ()
        self._kept.move_to_end(name)
        return cropped(kept.uses, min(_agree(kept.ids, ids), len(ids) - 1))

    def keep(self, name: str, kept: Kept) -> None:
        """Keep a conversation in place of what its name stood for, if there is room for it."""
        self._drop(name)
        self._waited.discard(name)
        self._kept[name] = kept
        for use in kept.uses:
            if not self._shares[use.stretch]:
                self.bytes += use.stretch.bytes
            self._shares[use.stretch] += 1
        idle = (one for one in list(self._kept) if one not in self._waited)
        while self.bytes > self.most_bytes:
            self._drop(next(idle))  # the newest comes last, and fits where nothing else is left

    def clear(self) -> None:
        """Forget everything."""
        self._kept.clear()
        self._shares.clear()
        self.bytes = 0

    def _drop(self, name: str) -> None:
        kept = self._kept.pop(name, None)
        for use in kept.uses if kept else ():
            self._shares[use.stretch] -= 1
            if not self._shares[use.stretch]:
                del self._shares[use.stretch]
                self.bytes -= use.stretch.bytes


def cropped(uses: Sequence[Use], size: int) -> tuple[Use, ...]:
    """Return the first `size` tokens of stretches that follow each other."""
    found: list[Use] = []
    for use in uses:
        taken = min(use.size, size)
        if taken > 0:
            found.append(Use(use.stretch, taken))
        size -= taken
    return tuple(found)


def _agree(mine: Sequence[int], theirs: Sequence[int]) -> int:
    """Return how many tokens two texts begin with alike."""
    least = min(len(mine), len(theirs))
    return next((at for at in range(least) if mine[at] != theirs[at]), least)

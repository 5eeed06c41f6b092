"""An episode over turns as tokens: only ever added to, own ones kept as they were sampled.

Knows ids, and nothing of what they spell.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import groupby
from typing import NamedTuple

from toprope.terms import Observed


class Laid(NamedTuple):
    """What follows a prompt, token by token: its ids, which are own, how likely they were.

    The log-probability of an observed token is 0: nobody sampled it, and no loss reads it.
    """

    ids: tuple[int, ...]
    own: tuple[bool, ...]
    logprobs: tuple[float, ...]


@dataclass
class Stream:
    """A prompt, and what was said and seen after it, in order."""

    prompt_ids: tuple[int, ...]
    ids: list[int] = field(default_factory=list)
    own: list[bool] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)

    def say(self, ids: Iterable[int], logprobs: Iterable[float] | None = None) -> None:
        """Add tokens of the policy's own; those of a demonstration have no likelihood."""
        ids = list(ids)
        self._add(ids, True, [0.0] * len(ids) if logprobs is None else list(logprobs))

    def see(self, ids: Iterable[int]) -> None:
        """Add tokens of an observation."""
        ids = list(ids)
        self._add(ids, False, [0.0] * len(ids))

    @property
    def context(self) -> tuple[int, ...]:
        """Everything so far: the next turn's prompt."""
        return self.prompt_ids + tuple(self.ids)

    @property
    def sampled(self) -> tuple[tuple[int, ...], tuple[float, ...]]:
        """The own ids of all turns end to end, and their log-probabilities."""
        mine = [at for at, own in enumerate(self.own) if own]
        return tuple(self.ids[at] for at in mine), tuple(self.logprobs[at] for at in mine)

    @property
    def observed(self) -> tuple[Observed, ...]:
        """What stands between the own ids, and after how many of them."""
        found, said, at = [], 0, 0
        for own, run in groupby(self.own):
            size = len(list(run))
            if own:
                said += size
            else:
                found.append(Observed(said, tuple(self.ids[at : at + size])))
            at += size
        return tuple(found)

    def laid(self) -> Laid:
        """Return everything after the prompt, for a row of the learner."""
        return Laid(tuple(self.ids), tuple(self.own), tuple(self.logprobs))

    def _add(self, ids: list[int], own: bool, logprobs: list[float]) -> None:
        self.ids += ids
        self.own += [own] * len(ids)
        self.logprobs += logprobs


def own_turns(sampled: tuple[int, ...], observed: tuple[Observed, ...]) -> list[tuple[int, ...]]:
    """Return the own ids of an episode turn by turn: observations stand between any two."""
    ends = [seen.after for seen in observed]
    return [sampled[a:b] for a, b in zip([0, *ends], [*ends, len(sampled)], strict=True) if b > a]


def laid_out(
    sampled: tuple[int, ...], logprobs: tuple[float, ...], observed: tuple[Observed, ...]
) -> Laid:
    """Return what an episode's fields say was after its prompt: what `Stream.laid` returned."""
    stream, at = Stream(()), 0
    for seen in observed:
        stream.say(sampled[at : seen.after], logprobs[at : seen.after])
        stream.see(seen.ids)
        at = seen.after
    stream.say(sampled[at:], logprobs[at:])
    return stream.laid()

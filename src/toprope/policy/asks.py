"""What is asked of a sampler, and what it counts of its work: plain data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ask:
    """A prompt and the episodes to sample from it.

    `draft_ids`, if any, is an answer that episodes are likely to copy a part of: it makes
    them cheap and changes nothing about what is sampled, except that an episode which copies
    all of it ends there, and one that departs ends at the guide's next stop, even if it only
    spells the same text with other tokens. Its first `held` tokens belong to every answer: an
    episode that leaves them has no hope, and where the guide constrains they are forced.

    `begun` is text of the answer that the prompt ends with already, for the guide to go on from.

    `numbers`, if any, name the random numbers of the episodes instead of their ids: samplers
    that are to be compared draw with the same ones.
    """

    prompt_ids: tuple[int, ...]
    episode_ids: tuple[str, ...]
    draft_ids: tuple[int, ...] = ()
    held: int = 0
    numbers: tuple[str, ...] = ()
    begun: str = ""

    @property
    def context(self) -> tuple[int, ...]:
        """The most that is computed before anything is decoded."""
        return self.prompt_ids + self.draft_ids[:-1]


@dataclass(slots=True)
class Work:
    """What a sampler has computed so far: the numbers that FLOPs follow from.

    `positions` are tokens with their padding and finished rows, `pairs` the query-key pairs
    of one layer and head, `logits` the rows of the vocabulary head.
    """

    positions: int = 0
    pairs: int = 0
    logits: int = 0

    def add(self, positions: int, keys: int) -> None:
        """Count positions that attended to `keys` keys each."""
        self.positions += positions
        self.pairs += positions * keys

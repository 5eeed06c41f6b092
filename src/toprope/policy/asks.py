"""What is asked of a sampler, and what it counts of its work: plain data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from toprope.terms import Completion

Ended = Callable[[Completion], None]  # hears an episode's completion as it ends


@dataclass(frozen=True, slots=True)
class Ask:
    """A prompt and the episodes to sample from it.

    `draft_ids`, if any, is an answer that episodes are likely to copy a part of: it makes
    them cheap and changes nothing about what is sampled, except that an episode which copies
    all of it ends there, and one that departs ends at the guide's next stop, even if it only
    spells the same text with other tokens. Its first `held` tokens belong to every answer: an
    episode that leaves them has no hope, and where the guide constrains they are forced.

    `begun` is text of the answer that the prompt ends with already, for the guide to go on from.

    `turns_of`, if any, names for each episode the conversation that it is a turn of. What is
    computed of it is kept under that name, and a later ask of the same name goes on from as
    much of it as its prompt begins with, instead of computing that again. It makes a turn
    cheap, and moves its log-probabilities by no more than rounding. Every turn has an episode
    id of its own, since that names its random numbers.

    `numbers`, if any, name the random numbers of the episodes instead of their ids: samplers
    that are to be compared draw with the same ones.
    """

    prompt_ids: tuple[int, ...]
    episode_ids: tuple[str, ...]
    draft_ids: tuple[int, ...] = ()
    held: int = 0
    numbers: tuple[str, ...] = ()
    begun: str = ""
    turns_of: tuple[str, ...] = ()

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


class Sampler(Protocol):
    """Whatever turns asks into completions, in this process or behind an address."""

    work: Work

    def sample(
        self,
        asks: Sequence[Ask],
        *,
        version: int = 0,
        temperature: float = 1.0,
        constrain: bool = False,
        ended: Ended | None = None,
    ) -> list[Completion]:
        """Return one completion per episode, in the order asked; `version` names the weights.

        `ended` hears of episodes while others go on, in whatever order they end, and of none
        twice; of one that it did not hear of, what is returned tells. It has to be quick, and
        an error that it raises ends the call.
        """


class Keeping(Protocol):
    """Answers by id, kept as they arrive; a climb's ledger is one."""

    def journal_get(self, keys: Iterable[str]) -> dict[str, Any]:
        """Return the answers that already arrived."""

    def journal_put(self, answers: Mapping[str, Any]) -> None:
        """Keep answers by id; the first answer to an id stays."""

"""A teacher that takes turns: one message of a talk at a time, paid once and kept.

Its turns depend on what a student did before, so no other run is given them. It must not
know what a message does, or what comes of it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

from toprope.teacher.openai import EndpointError
from toprope.teacher.outage import Outage
from toprope.teacher.prompt import Messages
from toprope.teacher.protocol import Kept, Spend
from toprope.teacher.question import sampling_of
from toprope.teacher.till import Till

_GONE = (401, 403, 404)  # other refusals may be of this talk alone, too long for its context


@dataclass(frozen=True, slots=True)
class Said:
    """A message, and what it took to get it."""

    text: str
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float


@runtime_checkable
class Speaks(Protocol):
    """A teacher that can be asked for the next turn of a talk."""

    def say(self, key: str, talk: Messages, number: int) -> Said | None:
        """Return the next message, or None where none could be had (a failure of ours).

        Asked again with the same key and talk it says the same and spends nothing. Of the talks
        on a task, number 0 is answered greedily.

        Raises:
            BudgetExhausted: it could not be afforded.
        """


class Speaker:
    """Asks an endpoint for turns."""

    def __init__(self, till: Till, outage: Outage, answer_tokens: int) -> None:
        self._till, self._outage, self._answer_tokens = till, outage, answer_tokens
        self._kept: Kept = dict[str, Any]()

    def keep_in(self, kept: Kept) -> None:
        """Keep turns there from now on."""
        self._kept = kept

    def say(self, key: str, talk: Messages, number: int) -> Said | None:
        """Return the next message, see `Speaks`; it is kept before this returns."""
        sampling = replace(sampling_of(key, number, self._answer_tokens), stop=())
        question = json.dumps([talk, sampling.settings()], sort_keys=True)
        key = f"{key}:{hashlib.sha256(question.encode()).hexdigest()[:16]}"
        kept = self._kept.get(key)
        if kept is not None:
            return Said(**kept["said"])
        if self._outage.lasts:
            return None
        tickets = [self._till.reserve(talk, sampling)]
        try:
            answer = self._till.answer(talk, sampling, tickets)
        except EndpointError as error:
            self._outage.lost(str(error), refused=error.status in _GONE)
            return None
        finally:
            for unused in tickets:
                unused.settle(Spend())
        self._outage.answered()
        said = Said(
            answer.text, answer.prompt_tokens, answer.completion_tokens, self._till.cost(answer).usd
        )
        self._kept[key] = {
            "said": {name: getattr(said, name) for name in Said.__slots__},
        }
        return said

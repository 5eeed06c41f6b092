"""A model behind an OpenAI-compatible endpoint at work. It must not know what is answered."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from toprope.climb.episodes.actions import read_action
from toprope.harness.dialect import Dialect
from toprope.solve.models import Drawn, Messages, Said
from toprope.teacher.openai import Endpoint, Sampling
from toprope.terms import Task

_PATIENCE_S = 300.0  # for one answer


@dataclass
class Remote:
    """A model behind an OpenAI-compatible endpoint, which talks or draws.

    Raises `EndpointError` where it refuses or cannot be read.
    """

    endpoint: Endpoint
    temperature: float
    seed: int
    dialect: Dialect
    longest: int = 512
    at_once: int = 1

    def say(self, messages: Messages, name: str, most: int) -> Said:
        """Return the next message."""
        reply = self.endpoint.chat([dict(m) for m in messages], self._sampling(name, most))
        return Said(reply.text, reply.prompt_tokens, reply.completion_tokens)

    def draw(self, task: Task, turn: int, count: int, most: int) -> list[Drawn]:
        """Return answers while there are tokens left."""
        found: list[Drawn] = []
        for at in range(count):
            if most <= 0:
                break
            stop = () if self.dialect.DRAFTED else (self.dialect.STOP,)
            sampling = self._sampling(f"{task.id}/{turn}/{at}", most, stop)
            reply = self.endpoint.chat(self.dialect.messages(task), sampling)
            most -= reply.completion_tokens
            text = self.dialect.ended(reply.text, task)
            read = read_action(
                self.dialect, task, text, "stop" if text != reply.text else reply.finish
            )
            found.append(Drawn(text, read, reply.prompt_tokens, reply.completion_tokens))
        return found

    def _sampling(self, name: str, most: int, stop: tuple[str, ...] = ()) -> Sampling:
        digest = hashlib.sha256(f"{self.seed}:{name}".encode()).digest()
        return Sampling(
            temperature=self.temperature,
            seed=int.from_bytes(digest[:4], "big") >> 1,
            max_tokens=max(1, min(self.longest, most)),
            stop=stop,
        )


def open_endpoint(url: str, model: str, seconds: float) -> Endpoint:
    """Return the endpoint with the model that it is asked for; "" is the first that it lists.

    Silence of `seconds`, of five minutes at most, is taken for a failure, and it is asked
    three times at most.
    """
    patience = min(_PATIENCE_S, seconds)
    endpoint = Endpoint(url, model=model or "default", read_s=patience, total_s=patience, tries=3)
    if not model:
        endpoint.model = str(endpoint.about().get("id") or "default")
    return endpoint

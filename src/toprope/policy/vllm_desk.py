"""Sees to it that one adapter, and no other weights, answers: loads, checks, loads again.

A server that restarted has forgotten the adapter: it is loaded again and the question asked
again. What the server computes is compared with what the student computes here whenever an
adapter was loaded, so that a server of another model is refused before it is sampled from.
Knows a line to the server and an adapter's folder, no episodes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from toprope.policy.peft_folder import Adapter, prefix
from toprope.policy.vllm_answers import (
    Drawn,
    Scored,
    WrongAnswer,
    read_drawn,
    read_scored,
)
from toprope.policy.vllm_api import SamplerUnfit, UnknownModel, Vllm

T = TypeVar("T")
MOST_APART = 0.5  # nats, the mean over a probe's tokens; engines in bf16 differ by some .02
_RELOADS = 8  # of one question
_CERTAIN = 1e-6


@dataclass(frozen=True, slots=True)
class Probe:
    """A prompt, and the log-probabilities that the student gives its tokens but the first."""

    ids: tuple[int, ...]
    logprobs: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Question:
    """A prompt to go on from, and how; `bias` is added to logits of these ids."""

    prompt_ids: tuple[int, ...]
    most: int
    seed: int
    temperature: float = 1.0
    stop: tuple[str, ...] = ()
    stop_ids: tuple[int, ...] = ()
    bias: tuple[tuple[int, float], ...] = ()

    def body(self) -> dict[str, Any]:
        """Everything that could bend the distribution is named: servers have defaults."""
        return {
            "prompt": list(self.prompt_ids),
            "max_tokens": self.most,
            "seed": self.seed,
            "temperature": self.temperature,
            "top_p": 1.0,
            "top_k": 0,
            "min_p": 0.0,
            "repetition_penalty": 1.0,
            "presence_penalty": 0.0,
            "frequency_penalty": 0.0,
            "n": 1,
            "logprobs": 0,
            "return_token_ids": True,
            "add_special_tokens": False,
            "stop": list(self.stop),
            "stop_token_ids": list(self.stop_ids),
            "include_stop_str_in_output": True,
            "skip_special_tokens": False,
            **({"logit_bias": {str(i): value for i, value in self.bias}} if self.bias else {}),
        }


@dataclass
class Desk:
    """Asks one server of one adapter, or of its base where there is none."""

    server: Vllm
    run: str
    adapter: Adapter | None
    vocabulary: int
    probe: Probe
    name: str = ""
    _base: str = ""
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _opened: int = 0

    async def open(self, after: int = 0) -> None:
        """Have the adapter loaded and older ones gone, unless that was done since `after`.

        Raises:
            SamplerUnfit: the server cannot load it, or computes something else.
        """
        async with self._lock:
            if self._opened > after:
                return
            for _ in range(_RELOADS):
                try:
                    await self._swap(await self._cards())
                    if self.probe.logprobs:
                        await self._compare()
                except UnknownModel:  # it restarted in between
                    continue
                self._opened += 1
                return
            raise self._forgetful()

    async def draw(self, question: Question) -> Drawn:
        """Return what the weights in hand answer."""
        return await self._asked(
            question.body(),
            lambda body: read_drawn(
                body,
                model=self.name,
                prompt_ids=question.prompt_ids,
                most=question.most,
                vocabulary=self.vocabulary,
            ),
        )

    async def score(self, ids: Sequence[int]) -> Scored:
        """Return the log-probabilities of a text's own tokens."""
        return await self._asked(_scoring(ids), self._read_scored(ids))

    async def _asked(self, body: dict[str, Any], read: Callable[[Any], T]) -> T:
        for _ in range(_RELOADS):
            seen = self._opened
            try:
                return await self.server.complete({"model": self.name, **body}, read)
            except UnknownModel:
                await self.open(after=seen)
        raise self._forgetful()

    async def _swap(self, cards: Sequence[dict[str, Any]]) -> None:
        bases = [card for card in cards if not card.get("parent")]
        if not bases:
            raise SamplerUnfit(f"{self._where} lists no model: is it a vLLM server?")
        self._base = str(bases[0]["id"])
        self.name = self.adapter.name if self.adapter else self._base
        loaded = {str(card["id"]): card.get("root") for card in cards if card.get("parent")}
        for stale in loaded:
            if stale.startswith(prefix(self.run)) and stale != self.name:
                await self.server.post("/v1/unload_lora_adapter", {"lora_name": stale})
        if self.adapter is None or self.adapter.name in loaded:
            return
        body = {"lora_name": self.adapter.name, "lora_path": str(self.adapter.folder)}
        response = await self.server.post("/v1/load_lora_adapter", body)
        if response.status_code == 400 and "already" in response.text:
            return
        if response.status_code >= 400:
            raise SamplerUnfit(
                f"{self._where} did not load {self.adapter.folder} (status "
                f"{response.status_code}: {response.text[:300]}); it must see this folder, and be "
                "started with --enable-lora, --max-lora-rank of student.lora_rank or more, and "
                "VLLM_ALLOW_RUNTIME_LORA_UPDATING=1: `toprope sampler serve` does so"
            )

    def _forgetful(self) -> SamplerUnfit:
        return SamplerUnfit(f"{self._where} keeps forgetting {self.name}: does it restart?")

    async def _compare(self) -> None:
        """Refuse a server that computes, or tells, other log-probabilities than the student's.

        One token is allowed to follow the probe: the log-probability that the model gives it is
        told, or 0 by a server that tells those of the distribution it was left to draw from.
        """
        ids, only = self.probe.ids, self.probe.ids[0]
        body = {"model": self.name, **_scoring(ids), "allowed_token_ids": [only]}

        def read(answer: Any) -> tuple[Scored, Drawn]:
            drawn = read_drawn(
                answer, model=self.name, prompt_ids=ids, most=1, vocabulary=self.vocabulary
            )
            return self._read_scored(ids)(answer), drawn

        scored, drawn = await self.server.complete(body, read)
        if drawn.ids == (only,) and drawn.logprobs[0] > -_CERTAIN:
            raise SamplerUnfit(
                f"{self._where} tells log-probabilities of what it was left to draw from: "
                "start it with --logprobs-mode raw_logprobs"
            )
        pairs = zip(scored.logprobs, self.probe.logprobs, strict=True)
        apart = sum(abs(theirs - ours) for theirs, ours in pairs) / len(self.probe.logprobs)
        if apart > MOST_APART:
            raise SamplerUnfit(
                f"{self._where} ({self._base}) is not the student: its log-probabilities differ "
                f"by {apart:.2f} nats a token; serve the folder that student.model names"
            )

    async def _cards(self) -> list[dict[str, Any]]:
        listed = (await self.server.get("/v1/models")).get("data")
        if not isinstance(listed, list):
            raise WrongAnswer("a list of models of another shape")
        return [card for card in listed if isinstance(card, dict) and "id" in card]

    def _read_scored(self, ids: Sequence[int]) -> Callable[[Any], Scored]:
        return lambda body: read_scored(body, model=self.name, prompt_ids=ids)

    @property
    def _where(self) -> str:
        return self.server.address.base


def _scoring(ids: Sequence[int]) -> dict[str, Any]:
    """Return the body of a question that only wants the prompt's log-probabilities."""
    return {**Question(tuple(ids), 1, 0).body(), "prompt_logprobs": 0}

"""Looks at a server before a run rests on it: what it is, and whether it computes the student.

A few answers are drawn by the server through an adapter that was made for the test, and
their log-probabilities are held against those that the student computes here.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from toprope.policy.adapters import LowRankLinear
from toprope.policy.asks import Ask
from toprope.policy.probe import probe
from toprope.policy.served import LOST, ServedSampler
from toprope.policy.vllm_answers import SamplerError
from toprope.policy.vllm_api import Address, SamplerUnfit, Vllm

_STIR = 0.02  # the size of the test adapter's entries: enough to be seen, not to drown text


@dataclass(frozen=True, slots=True)
class Agreement:
    """What was found. `weight` is π of the student over π of the server, per sampled token.

    `mismatch_kl` is the mean of log π of the server − log π of the student, in nats: an
    estimate of the KL divergence between them on what the server drew.
    """

    server: str | None
    model: str
    context: int | None
    adapter: bool
    episodes: int
    tokens: int
    weight_mean: float
    weight_max: float
    mismatch_kl: float
    apart: float
    """The mean absolute difference of two log-probabilities."""


def stir(model: Any, seed: int = 0) -> None:
    """Give a model's adapters something to do, so that it shows whether they are applied."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, LowRankLinear):
            values = torch.empty(module.high.shape).normal_(0, _STIR, generator=generator)
            module.high.data.copy_(values)


def about(address: Address) -> tuple[str | None, str, int | None]:
    """Return what a server tells of itself: version, the model's name, the longest context.

    Raises:
        SamplerError: it does not answer, or lists no model.
    """

    async def ask() -> tuple[dict[str, Any], dict[str, Any]]:
        async with Vllm(address) as server:
            listed = await server.get("/v1/models")
            try:
                told = await server.get("/version")
            except SamplerUnfit:
                told = {}
            return listed, told

    listed, told = asyncio.run(ask())
    cards = [card for card in listed.get("data") or [] if not card.get("parent")]
    if not cards:
        raise SamplerUnfit(f"{address.base} lists no model: is it a vLLM server?")
    most = cards[0].get("max_model_len")
    return told.get("version"), str(cards[0]["id"]), int(most) if most else None


def examine(sampler: ServedSampler, asks: Sequence[Ask]) -> Agreement:
    """Return what a server makes of some asks, held against the student in this process.

    Raises:
        SamplerError: the server is gone, unfit, or answered none of them.
    """
    version, model, context = about(sampler.address)
    prompts = {episode: ask.prompt_ids for ask in asks for episode in ask.episode_ids}
    gaps: list[float] = []
    drawn = [c for c in sampler.sample(asks) if c.stop != LOST]
    for completion in drawn:
        text = prompts[completion.episode_id] + completion.ids
        own = probe(sampler.inside, text, len(text)).logprobs[-len(completion.ids) :]
        gaps += [theirs - ours for theirs, ours in zip(completion.logprobs, own, strict=True)]
    if not gaps:
        raise SamplerError(f"{sampler.address.base} answered none of {len(prompts)} episodes")
    weights = [math.exp(-gap) for gap in gaps]
    return Agreement(
        server=version,
        model=model,
        context=context,
        adapter=not sampler.inside.base,
        episodes=len(drawn),
        tokens=len(gaps),
        weight_mean=sum(min(weight, 2.0) for weight in weights) / len(weights),
        weight_max=max(weights),
        mismatch_kl=sum(gaps) / len(gaps),
        apart=sum(abs(gap) for gap in gaps) / len(gaps),
    )

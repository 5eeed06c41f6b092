"""The sampler behind an address: a vLLM server draws, with the student's adapter of this step.

Does what the in-process sampler does, episode by episode: prompts as ids, the exact ids
back with the log-probabilities of the untruncated distribution, one random seed an episode.
Completions are kept as they arrive, by episode id and weights, so that what was drawn before
a kill is not drawn again. It does not know tasks or rewards.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from toprope.policy.asks import Ask, Keeping, Work
from toprope.policy.guide import Guide
from toprope.policy.peft_folder import Adapter, forget, publish
from toprope.policy.probe import probe
from toprope.policy.randomness import episode_uniforms
from toprope.policy.sampler import TorchSampler
from toprope.policy.vllm_answers import SamplerError, Scored, WrongAnswer
from toprope.policy.vllm_api import Address, Vllm
from toprope.policy.vllm_desk import Desk, Question
from toprope.terms import Completion, TopropeError

LOST = "lost"
MOST_LOST = 8  # episodes lost one after another before the server counts as unfit
_NEVER = -100.0  # the least bias that a server takes


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run's adapters lie, for the server to read, and where its completions are kept."""

    adapters: Path
    kept: Keeping

    @property
    def run(self) -> str:
        """What tells this run's adapters from another's on the same server."""
        return str(self.adapters.resolve())


@dataclass(slots=True)
class _Luck:
    """How many episodes were lost since one was drawn."""

    lost: int = 0
    drawn: bool = False


class ServedSampler:
    """Samples from a vLLM server that serves the student's base.

    Args:
        inside: the in-process sampler of the same weights: what the server is compared with,
            and what draws constrained episodes, which a server cannot.
        address: of the server.
        place: of what is written.
    """

    def __init__(self, inside: TorchSampler, address: Address, place: Place) -> None:
        self.inside, self.address, self.place = inside, address, place
        self.guide: Guide = inside.guide
        self.work = Work()
        special = [i for i, text in enumerate(self.guide.texts) if text is None]
        self._stop_ids = (self.guide.eos, *special[:64])

    def sample(
        self,
        asks: Sequence[Ask],
        *,
        version: int = 0,
        temperature: float = 1.0,
        constrain: bool = False,
    ) -> list[Completion]:
        """Return one completion per episode, in the order asked.

        Raises:
            SamplerError: the server is gone, unfit, or answers nothing rightly; what arrived
                is kept, and the same call goes on from there.
        """
        if constrain:
            found = self.inside.sample(
                asks, version=version, temperature=temperature, constrain=True
            )
            self.work, self.inside.work = self.inside.work, Work()
            return found
        if temperature not in (0.0, 1.0):
            raise TopropeError(
                "a vLLM server tells log-probabilities of temperature 1 only: sample at 1 or 0"
            )
        adapter = self._publish(version)
        keys = {
            episode: self._key(ask, number, episode, adapter, temperature)
            for ask in asks
            for episode, number in _numbered(ask)
        }
        kept = self.place.kept.journal_get(keys.values())
        known = {e: _completion(e, kept[key]) for e, key in keys.items() if key in kept}
        if len(known) < len(keys):
            asyncio.run(self._draw(asks, adapter, temperature, keys, known))
        return [known[episode] for ask in asks for episode in ask.episode_ids]

    def _publish(self, version: int) -> Adapter | None:
        if self.inside.base:
            return None
        place, run = self.place.adapters, self.place.run
        adapter = publish(self.inside.model, place, run=run, version=version)
        forget(place, run=run, but=adapter)
        return adapter

    async def _draw(
        self,
        asks: Sequence[Ask],
        adapter: Adapter | None,
        temperature: float,
        keys: dict[str, str],
        known: dict[str, Completion],
    ) -> None:
        """Add to `known`, and to what is kept, every completion that is missing there."""
        missing = [ask for ask in asks if any(e not in known for e in ask.episode_ids)]
        luck = _Luck()
        async with Vllm(self.address) as server:
            checked = probe(self.inside, missing[0].context)
            desk = Desk(server, self.place.run, adapter, len(self.guide.texts), checked, self.work)
            await desk.open()

            async def one(ask: Ask, episode: str, number: str, scored: Scored | None) -> None:
                known[episode] = await self._episode(
                    desk, ask, episode, number, scored, temperature, luck
                )
                if known[episode].stop != LOST:
                    self.place.kept.journal_put({keys[episode]: _kept(known[episode])})

            async def group(ask: Ask) -> None:
                wanted = [(e, n) for e, n in _numbered(ask) if e not in known]
                scored = None
                if ask.draft_ids:
                    try:
                        scored = await desk.score(ask.prompt_ids + ask.draft_ids)
                    except WrongAnswer as error:
                        for episode, _ in wanted:
                            known[episode] = _lost(episode, luck, error)
                        return
                await _all(one(ask, episode, number, scored) for episode, number in wanted)

            await _all(group(ask) for ask in missing)
        if luck.lost and not luck.drawn:
            raise SamplerError(
                f"{self.address.base} answered none of {luck.lost} episodes rightly; "
                "`toprope sampler test` says what is wrong with it"
            )

    async def _episode(
        self,
        desk: Desk,
        ask: Ask,
        episode: str,
        number: str,
        scored: Scored | None,
        temperature: float,
        luck: _Luck,
    ) -> Completion:
        """Return an episode's completion; it is lost where the server keeps answering wrongly."""
        try:
            if scored is None:
                found = await self._own(desk, ask.prompt_ids, episode, number, temperature)
            else:
                found = await self._departing(desk, ask, episode, number, scored, temperature)
        except WrongAnswer as error:
            return _lost(episode, luck, error)
        luck.lost, luck.drawn = 0, True
        return found

    async def _departing(
        self,
        desk: Desk,
        ask: Ask,
        episode: str,
        number: str,
        scored: Scored,
        temperature: float,
    ) -> Completion:
        """Follow the draft as far as the episode copies it, and let the server draw the rest.

        The server tells the draft's probabilities, the episode's own uniforms decide where it
        departs; there the draft's token is ruled out for one draw. See `opening.py`.
        """
        draft, size = ask.draft_ids, len(ask.draft_ids)
        logprobs, ranks = scored.logprobs[-size:], scored.ranks[-size:]
        uniforms = episode_uniforms(self.inside.seed, number, size + self.inside.max_tokens)
        if temperature:
            stays = uniforms[:size] < np.exp(np.array(logprobs))
        else:
            stays = np.array(ranks) == 1
        cut = int(stays.cumprod().sum())
        if cut == size:
            return Completion(episode, draft, logprobs, "stop", cut)
        prompt = ask.prompt_ids + draft[:cut]
        first = await desk.draw(
            Question(
                prompt,
                1,
                self._seed(number, "departure"),
                temperature,
                bias=((draft[cut], _NEVER),),
            )
        )
        if first.ids[0] == draft[cut]:
            raise WrongAnswer("a token was drawn that had been ruled out")
        begun = Completion(
            episode, (*draft[:cut], *first.ids), (*logprobs[:cut], *first.logprobs), "", cut
        )
        text, stop = ("", "malformed") if cut < ask.held else self.guide.advance("", first.ids[0])
        if stop is None and self.inside.max_tokens == 1:
            stop = "length"
        if stop is not None:
            return Completion(episode, begun.ids, begun.logprobs, stop, cut)
        return await self._own(
            desk, ask.prompt_ids, episode, number, temperature, begun=begun, text=text
        )

    async def _own(
        self,
        desk: Desk,
        prompt_ids: tuple[int, ...],
        episode: str,
        number: str,
        temperature: float,
        *,
        begun: Completion | None = None,
        text: str = "",
    ) -> Completion:
        """Let the server go on to the end; the guide, token by token, says where that was."""
        ids, logprobs = (list(begun.ids), list(begun.logprobs)) if begun else ([], [])
        drawn = await desk.draw(
            Question(
                (*prompt_ids, *ids),
                self.inside.max_tokens - (1 if begun else 0),
                self._seed(number, "rest" if begun else "all"),
                temperature,
                stop=(self.guide.stop,),
                stop_ids=self._stop_ids,
            )
        )
        stop: str | None = None
        for token, logprob in zip(drawn.ids, drawn.logprobs, strict=True):
            ids.append(token)
            logprobs.append(logprob)
            text, stop = self.guide.advance(text, token)
            if stop is not None:
                break
        if stop is None and drawn.finish == "stop":
            raise WrongAnswer("the server ended an answer that had not come to its end")
        copied = begun.copied if begun else 0
        return Completion(episode, tuple(ids), tuple(logprobs), stop or "length", copied)

    def _seed(self, number: str, part: str) -> int:
        digest = hashlib.sha256(f"{self.inside.seed}:{number}:{part}".encode()).digest()
        return int.from_bytes(digest[:8], "big") >> 1

    def _key(
        self, ask: Ask, number: str, episode: str, adapter: Adapter | None, temperature: float
    ) -> str:
        """Return what a completion is kept under: the episode, and all that it depends on."""
        told: tuple[Any, ...] = (
            adapter.name if adapter else "base",
            self.inside.seed,
            self.inside.max_tokens,
            temperature,
            number,
            ask.prompt_ids,
            ask.draft_ids,
            ask.held,
        )
        return f"sampled:{episode}:{hashlib.sha256(repr(told).encode()).hexdigest()[:16]}"


async def _all(coroutines: Any) -> None:
    """Run them side by side; the first that fails ends the others."""
    try:
        async with asyncio.TaskGroup() as tasks:
            for coroutine in coroutines:
                tasks.create_task(coroutine)
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None


def _lost(episode: str, luck: _Luck, error: WrongAnswer) -> Completion:
    luck.lost += 1
    if luck.lost >= MOST_LOST:
        raise SamplerError(
            f"{luck.lost} episodes in a row were answered wrongly (last: {error}); "
            "`toprope sampler test` says what the server does wrong"
        ) from None
    return Completion(episode, (), (), LOST)


def _numbered(ask: Ask) -> list[tuple[str, str]]:
    return list(zip(ask.episode_ids, ask.numbers or ask.episode_ids, strict=True))


def _kept(completion: Completion) -> list[Any]:
    return [completion.ids, completion.logprobs, completion.stop, completion.copied]


def _completion(episode: str, kept: list[Any]) -> Completion:
    ids, logprobs, stop, copied = kept
    return Completion(episode, tuple(ids), tuple(logprobs), stop, copied)

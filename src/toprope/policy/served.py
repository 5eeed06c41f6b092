"""The sampler behind an address: a vLLM server draws, with the student's adapter of this step.

Does what the in-process sampler does, episode by episode: prompts as ids, the exact ids
back with the log-probabilities of the untruncated distribution, one random seed an episode.
Completions are kept as they arrive, by episode id and weights, so that what was drawn before
a kill is not drawn again. It does not know tasks or rewards.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Coroutine, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from toprope.policy.asks import Ask, Ended, Keeping, Work
from toprope.policy.guide import Guide
from toprope.policy.peft_folder import Adapter, forget, publish
from toprope.policy.probe import probe
from toprope.policy.randomness import episode_uniforms
from toprope.policy.sampler import TorchSampler
from toprope.policy.vllm_answers import Drawn, SamplerError, Scored, WrongAnswer
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


@dataclass(slots=True)
class _Row:
    """An episode in flight: what it has of its answer, and what that took."""

    ask: Ask
    episode: str
    number: str
    temperature: float
    ids: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()
    copied: int = 0
    text: str = ""
    stop: str | None = None
    work: Work = field(default_factory=Work)

    @property
    def context(self) -> tuple[int, ...]:
        """What its next token follows."""
        return self.ask.prompt_ids + self.ids

    def done(self, stop: str) -> Completion:
        return Completion(self.episode, self.ids, self.logprobs, stop, self.copied)


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
        self._stop_ids = tuple(dict.fromkeys((*sorted(self.guide.ends), *special[:64])))

    def sample(
        self,
        asks: Sequence[Ask],
        *,
        version: int = 0,
        temperature: float = 1.0,
        constrain: bool = False,
        ended: Ended | None = None,
    ) -> list[Completion]:
        """Return one completion per episode, in the order asked.

        `ended` hears each that arrives, and first those that were kept.

        Raises:
            SamplerError: the server is gone, unfit, or answers nothing rightly; what arrived
                is kept, and the same call goes on from there.
        """
        if constrain:
            found = self.inside.sample(
                asks, version=version, temperature=temperature, constrain=True, ended=ended
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
        tell: Ended = ended or (lambda completion: None)
        known = {e: self._recalled(e, kept[key]) for e, key in keys.items() if key in kept}
        for completion in known.values():
            tell(completion)
        if len(known) < len(keys):
            asyncio.run(self._draw(asks, adapter, temperature, keys, known, tell))
        for ask in asks:
            self._count_scoring(ask)
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
        tell: Ended,
    ) -> None:
        """Add to `known`, and to what is kept, every completion that is missing there."""
        missing = [ask for ask in asks if any(e not in known for e in ask.episode_ids)]
        luck = _Luck()

        async def one(desk: Desk, row: _Row, scored: Scored | None) -> None:
            try:
                found = await self._episode(desk, row, scored)
            except WrongAnswer as error:
                known[row.episode] = _lost(row.episode, luck, error)
                return
            luck.lost, luck.drawn = 0, True
            self.place.kept.journal_put({keys[row.episode]: _kept(found, row.work)})
            self._add(row.work)
            known[row.episode] = found
            tell(found)

        async def group(desk: Desk, ask: Ask) -> None:
            missing = [(e, n) for e, n in _numbered(ask) if e not in known]
            rows = [_Row(ask, e, n, temperature, text=ask.begun) for e, n in missing]
            scored = None
            if ask.draft_ids:
                try:
                    scored = await desk.score(ask.prompt_ids + ask.draft_ids)
                except WrongAnswer as error:
                    known.update({row.episode: _lost(row.episode, luck, error) for row in rows})
                    return
            await _all(one(desk, row, scored) for row in rows)

        async with Vllm(self.address) as server:
            checked = probe(self.inside, missing[0].context)
            desk = Desk(server, self.place.run, adapter, len(self.guide.texts), checked)
            await desk.open()
            await _all(group(desk, ask) for ask in missing)
        if luck.lost and not luck.drawn:
            raise SamplerError(
                f"{self.address.base} answered none of {luck.lost} episodes rightly; "
                "`toprope sampler test` says what is wrong with it"
            )

    async def _episode(self, desk: Desk, row: _Row, scored: Scored | None) -> Completion:
        """Return an episode's completion.

        Raises:
            WrongAnswer: the server keeps answering it wrongly.
        """
        if scored is not None:
            await self._depart(desk, row, scored)
        if row.stop is None:
            await self._go_on(desk, row)
        assert row.stop is not None
        return row.done(row.stop)

    async def _depart(self, desk: Desk, row: _Row, scored: Scored) -> None:
        """Follow the draft as far as the episode copies it, and have the next token drawn.

        The server tells the draft's probabilities, the episode's own uniforms decide where it
        departs; there the draft's token is ruled out for one draw. See `opening.py`.
        """
        draft, size = row.ask.draft_ids, len(row.ask.draft_ids)
        logprobs, ranks = scored.logprobs[-size:], scored.ranks[-size:]
        most = self.inside.max_tokens
        if row.temperature:
            uniforms = episode_uniforms(self.inside.seed, row.number, size + most)[:size]
            stays = uniforms < np.exp(np.array(logprobs))
        else:
            stays = np.array(ranks) == 1
        cut = row.copied = int(stays.cumprod().sum())
        row.ids, row.logprobs = draft[:cut], logprobs[:cut]
        if cut == size:
            row.stop = "stop"
            return
        ruled_out = ((draft[cut], _NEVER),)
        drawn = await self._ask(desk, row, Question(row.context, 1, 0, bias=ruled_out), "departure")
        if drawn.ids[0] == draft[cut]:
            raise WrongAnswer("a token was drawn that had been ruled out")
        row.ids, row.logprobs = row.ids + drawn.ids, row.logprobs + drawn.logprobs
        if cut < row.ask.held:
            row.stop = "malformed"
        else:
            row.text, row.stop = self.guide.advance("", drawn.ids[0])
        if row.stop is None and most == 1:
            row.stop = "length"

    async def _go_on(self, desk: Desk, row: _Row) -> None:
        """Let the server go on to the end; the guide, token by token, says where that was."""
        most = self.inside.max_tokens - (len(row.ids) - row.copied)
        question = Question(row.context, most, 0, stop=self.guide.stops, stop_ids=self._stop_ids)
        drawn = await self._ask(desk, row, question, "rest")
        for token, logprob in zip(drawn.ids, drawn.logprobs, strict=True):
            row.ids, row.logprobs = (*row.ids, token), (*row.logprobs, logprob)
            row.text, row.stop = self.guide.advance(row.text, token)
            if row.stop is not None:
                return
        if drawn.finish == "stop":
            raise WrongAnswer("the server ended an answer that had not come to its end")
        row.stop = "length"

    async def _ask(self, desk: Desk, row: _Row, question: Question, part: str) -> Drawn:
        """Ask with the episode's own seed for this part of it, and note what it took."""
        digest = hashlib.sha256(f"{self.inside.seed}:{row.number}:{part}".encode()).digest()
        seed = int.from_bytes(digest[:8], "big") >> 1
        asked = replace(question, seed=seed, temperature=row.temperature)
        drawn = await desk.draw(asked)
        used = drawn.used
        row.work.add(used.prompt - used.cached, used.prompt)
        for at in range(1, used.drawn):
            row.work.add(1, used.prompt + at)
        row.work.logits += used.drawn
        return drawn

    def _count_scoring(self, ask: Ask) -> None:
        """Count the pass over a draft, which a server makes whole, once a group."""
        if ask.draft_ids:
            size = len(ask.prompt_ids) + len(ask.draft_ids)
            self._add(Work(size, size * size, size))

    def _add(self, work: Work) -> None:
        self.work.positions += work.positions
        self.work.pairs += work.pairs
        self.work.logits += work.logits

    def _recalled(self, episode: str, kept: list[Any]) -> Completion:
        """Return a kept completion; what it took counts as if it were drawn now."""
        ids, logprobs, stop, copied, *took = kept
        self._add(Work(*took))
        return Completion(episode, tuple(ids), tuple(logprobs), stop, copied)

    def _key(
        self, ask: Ask, number: str, episode: str, adapter: Adapter | None, temperature: float
    ) -> str:
        """Return what a completion is kept under: the episode, and all that it depends on."""
        told: tuple[Any, ...] = (
            adapter.weights if adapter else "base",
            self.inside.seed,
            self.inside.max_tokens,
            temperature,
            number,
            ask.prompt_ids,
            ask.draft_ids,
            ask.held,
            ask.begun,
        )
        return f"sampled:{episode}:{hashlib.sha256(repr(told).encode()).hexdigest()[:16]}"


async def _all(coroutines: Iterable[Coroutine[Any, Any, None]]) -> None:
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


def _kept(done: Completion, work: Work) -> list[Any]:
    took = (work.positions, work.pairs, work.logits)
    return [done.ids, done.logprobs, done.stop, done.copied, *took]

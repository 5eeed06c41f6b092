"""Plays episodes over turns: each turn of all that are under way is one batch of the sampler.

Turns are done for real, in rooms of their own, and journalled as they are: a resumed run
does none twice and shows the same. Own tokens are never decoded and encoded again. Knows
nothing of states or of learning.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from toprope.climb.episodes.graded import graded
from toprope.climb.episodes.journal import Journal
from toprope.climb.episodes.play import Plan, count_draws, passes_again
from toprope.climb.episodes.turndeeds import Deeds
from toprope.climb.episodes.underway import ENDS, SILENT, UnderWay
from toprope.climb.meters import Meters, Shape
from toprope.grading import Grader
from toprope.harness.turns.act import SUBMITTED
from toprope.harness.turns.dialects import TurnDialect, reads
from toprope.harness.turns.play import opening
from toprope.harness.turns.retell import final_files
from toprope.harness.turns.state import handed_in, packed, unpacked
from toprope.harness.turns.stream import Stream, laid_out, own_turns
from toprope.harness.turns.template import Template
from toprope.policy.asks import Ask, Sampler
from toprope.terms import Completion, Episode, Mode, Task, Verdict


@dataclass(frozen=True, slots=True)
class Told:
    """A verified result told as a student's turns; `name` is the attempt that it comes from."""

    name: str
    task: Task
    action: str
    messages: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Begun:
    """The first `turns` turns of an episode, from which another, called `name`, goes on."""

    name: str
    task: Task
    episode: Episode
    turns: int


@dataclass
class TurnPlayer:
    """Plays episodes over turns with a sampler, rooms and a grader.

    `context` is the most that a turn may see, `longest` the longest turn, both in tokens.
    """

    template: Template
    dialect: TurnDialect
    deeds: Deeds
    sampler: Sampler
    grader: Grader
    ledger: Journal
    meters: Meters
    shape: Shape
    context: int
    longest: int

    def play(
        self,
        plans: Sequence[Plan],
        *,
        iteration: int,
        version: int,
        mode: Mode = Mode.PLAIN,
        rung: str = "",
        phase: str = "sample",
        temperature: float = 1.0,
    ) -> list[list[Episode]]:
        """Return the episodes of each plan, in order, token-exact and graded."""
        groups = [self._begin(plan, iteration) for plan in plans]
        running = [one for group in groups for one in group]
        while open_ := [one for one in running if not one.end]:
            with self.meters.phase(phase):
                self._speak(open_, phase, version, temperature)
            said = [(one, self.template.text(one.said)) for one in open_ if not one.end]
            with self.meters.phase("grade"):
                self._do(said)
        self.meters.count(phase, episodes=len(running))
        with self.meters.phase("grade"):
            verdicts = self._verdicts(running)
        return [
            [_episode(one, verdicts[one.id], version, mode, rung) for one in group]
            for group in groups
        ]

    def regrade(self, pairs: Sequence[tuple[Task, Episode]]) -> list[bool | None]:
        """Return whether each passed episode passes in a fresh sandbox again; None: ours failed."""
        items = [(e.id, t, handed_in(t, unpacked(t, e.changes or {}))) for t, e in pairs]
        with self.meters.phase("grade"):
            return passes_again(self.grader, items)

    def replay(self, told: Sequence[Told]) -> list[Stream | None]:
        """Do told turns for real; return them as tokens with what was seen between.

        None for one that did not come to the files that it stands for.
        """
        running = [UnderWay(t.task, t.name, "", self._opened(t.task)) for t in told]
        with self.meters.phase("grade"):
            for turn in range(max((len(t.messages) for t in told), default=0)):
                said = []
                for one, about in zip(running, told, strict=True):
                    if not one.end and turn < len(about.messages):
                        one.say(self.template.answer(about.messages[turn]))
                        said.append((one, about.messages[turn]))
                self._do(said)
        return [
            one.stream if one.end == SUBMITTED and _came_to(one) == wanted else None
            for one, t in zip(running, told, strict=True)
            for wanted in [final_files(t.task, t.action)]
        ]

    def handed_over(self, begun: Sequence[Begun]) -> list[UnderWay | None]:
        """Return episodes that go on from others' first turns, of which nothing is own.

        What these did is in the journal. None where it came out differently this time.
        """
        again = [UnderWay(b.task, b.episode.id, b.episode.id, b.episode.prompt_ids) for b in begun]
        said = [own_turns(b.episode.sampled_ids, b.episode.observed)[: b.turns] for b in begun]
        with self.meters.phase("grade"):
            for turn in range(max(map(len, said), default=0)):
                doing = []
                for one, turns in zip(again, said, strict=True):
                    if not one.end and turn < len(turns):
                        one.hear(turns[turn])
                        one.cut = not self.template.ended(one.said)
                        doing.append((one, self.template.text(one.said)))
                self._do(doing)
        return [
            one.renamed(b.name) if not one.end and _went_so(one, b.episode) else None
            for one, b in zip(again, begun, strict=True)
        ]

    def finish(
        self,
        running: Sequence[UnderWay],
        speak: Callable[[Sequence[UnderWay]], Sequence[str | None]],
        *,
        version: int,
        mode: Mode,
        rung: str,
    ) -> list[Episode]:
        """Return the episodes as another finished them, graded; own are the turns it is copied in.

        `speak` gives the next message of each, None for one of which it has no more to say.
        """
        while open_ := [one for one in running if not one.end]:
            with self.meters.phase("teacher"):
                messages = speak(open_)
            said = [(one, m) for one, m in zip(open_, messages, strict=True) if m is not None]
            for one, message in zip(open_, messages, strict=True):
                if message is None:
                    one.end = SILENT
                else:
                    self._told(one, message)
            with self.meters.phase("grade"):
                self._do(said)
        with self.meters.phase("grade"):
            verdicts = self._verdicts(running)
        return [_episode(one, verdicts[one.id], version, mode, rung) for one in running]

    def _told(self, one: UnderWay, message: str) -> None:
        """Add another's turn: own where a student could say it so, and it does something new."""
        ids = self.template.answer(message)
        one.cut = len(ids) > self.longest
        again = bool(one.turns) and one.turns[-1].text == message
        if one.cut or again or not reads(self.dialect, message):
            one.hear(ids)
        else:
            one.say(ids)

    def _begin(self, plan: Plan, iteration: int) -> list[UnderWay]:
        ids = plan.episode_ids(iteration)
        numbers = plan.numbers() or ids
        prompt = self._opened(plan.task, plan.shown)
        end = "" if len(prompt) + self.longest <= self.context else "context"
        return [
            UnderWay(plan.task, id_, number, prompt, end=end)
            for id_, number in zip(ids, numbers, strict=True)
        ]

    def _opened(self, task: Task, shown: str = "") -> tuple[int, ...]:
        if shown:
            task = replace(task, statement=f"{task.statement}\n{shown}")
        return self.template.opening(
            [
                {"role": "system", "content": self.dialect.SYSTEM},
                {"role": "user", "content": opening(task)},
            ]
        )

    def _speak(
        self, running: Sequence[UnderWay], phase: str, version: int, temperature: float
    ) -> None:
        """Sample a turn of each episode."""
        asks = turn_asks(running)
        completions = self.sampler.sample(asks, version=version, temperature=temperature)
        count_draws(self.meters, self.shape, self.sampler, phase, asks, completions)
        by_name = {completion.episode_id: completion for completion in completions}
        for one in running:
            self._hear(one, by_name[one.turn_name(one.id)])

    def _hear(self, one: UnderWay, completion: Completion) -> None:
        one.say(completion.ids, completion.logprobs)
        one.cut = completion.stop == "length"
        if completion.stop in ("lost", "malformed"):
            one.end = completion.stop

    def _do(self, said: Sequence[tuple[UnderWay, str]]) -> None:
        """Do what was said, and show what came of it to those who go on."""
        for (one, text), acted in zip(said, self.deeds.done(said), strict=True):
            one.take(text, acted, self.deeds.limits)
            if one.end:
                continue
            seen = self.template.between(one.said, one.turns[-1].observation)
            if len(one.stream.context) + len(seen) + self.longest > self.context:
                one.end = "context"
            else:
                one.stream.see(seen)

    def _verdicts(self, running: Sequence[UnderWay]) -> dict[str, Verdict]:
        """Return a verdict by episode id; only what was handed in is graded."""
        wanted = [(one.key("grade"), one.task, _came_to(one)) for one in running if one.handed_in]
        judged = graded(self.grader, self.ledger, wanted)
        return {
            one.id: judged[one.key("grade")] if one.handed_in else ENDS[one.end] for one in running
        }


def turn_asks(running: Sequence[UnderWay]) -> list[Ask]:
    """Return what is asked of a sampler for the next turn of each episode.

    Every prompt begins with the episode's last one and what it said then, so the sampler
    goes on from what it kept of that; episodes that have seen the same so far share an ask.
    """
    alike: dict[tuple[int, ...], list[UnderWay]] = {}
    for one in running:
        alike.setdefault(one.stream.context, []).append(one)
    return [
        Ask(
            context,
            tuple(one.turn_name(one.id) for one in group),
            numbers=tuple(one.turn_name(one.number) for one in group),
            turns_of=tuple(one.id for one in group),
        )
        for context, group in alike.items()
    ]


def _went_so(one: UnderWay, episode: Episode) -> bool:
    """Return whether what was said and seen is what an episode's fields hold, token by token."""
    whole = laid_out(episode.sampled_ids, episode.logprobs, episode.observed).ids
    return tuple(one.stream.ids) == whole[: len(one.stream.ids)]


def _came_to(one: UnderWay) -> Mapping[str, str]:
    return handed_in(one.task, unpacked(one.task, one.files))


def _episode(one: UnderWay, verdict: Verdict, version: int, mode: Mode, rung: str) -> Episode:
    sampled, logprobs = one.stream.sampled
    changes = packed(one.task, {**one.task.start(), **_came_to(one)}) if one.handed_in else None
    return Episode(
        id=one.id,
        task_id=one.task.id,
        version=version,
        mode=mode,
        rung=rung,
        prompt_ids=one.stream.prompt_ids,
        sampled_ids=sampled,
        logprobs=logprobs,
        text=one.transcript(),
        stop=one.end,
        verdict=verdict,
        observed=one.stream.observed,
        changes=changes,
    )

"""Carries out rung 5: a teacher finishes the student's failing episodes, and that is imitated.

A finished episode is kept under its own mode and never evidence of ability. What a teacher said
before a kill lies in the journal: it is neither asked nor paid again. Which tasks, and how much
of their turns, is not decided here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from toprope.climb import books
from toprope.climb.crew import Crew
from toprope.climb.episodes.play import Plan
from toprope.climb.episodes.turnplay import Begun, TurnPlayer
from toprope.climb.episodes.underway import UnderWay
from toprope.harness.turns.dialects import TurnDialect
from toprope.harness.turns.play import opening
from toprope.harness.turns.retell import finishing
from toprope.harness.turns.spell import told_plainly
from toprope.harness.turns.state import unpacked
from toprope.harness.turns.stream import laid_out
from toprope.ladder.rung import Demonstration, Practice
from toprope.ladder.takeover import STATES, TakeOver, hand_over
from toprope.ledger.rows import HELPED, TeacherCall
from toprope.teacher.protocol import BudgetExhausted
from toprope.teacher.speaking import Said, Speaks
from toprope.terms import Episode, Mode, Outcome


@dataclass
class Taken:
    """What became of a task's take-overs. `unpaid`: a budget ended one of them."""

    practice: Practice
    after: list[int] = field(default_factory=list)  # turns of the student, by take-over
    episodes: list[Episode] = field(default_factory=list)
    teacher_tokens: int = 0
    unpaid: bool = False

    @property
    def setting(self) -> str:
        """The teacher's share, and after how many turns it took over."""
        turns = " and ".join(map(str, self.after)) or "no"
        return f"{self.practice.setting}, after {turns}"


def take_over(
    crew: Crew, iteration: int, wanted: Sequence[tuple[Practice, Sequence[Episode]]]
) -> list[Taken]:
    """Return, for each practice with its plain group, what a teacher made of failing episodes."""
    if not wanted:
        return []
    player = crew.player
    assert isinstance(player, TurnPlayer)  # the settings keep others from needing it
    found = [Taken(practice) for practice, _ in wanted]
    begun = [(taken, one) for taken, (p, g) in zip(found, wanted, strict=True)
             for one in states_to_finish(p, g, iteration, crew.config.turns.most)]  # fmt: skip
    again = player.handed_over([one for _, one in begun])
    running = {one.id: (taken, b, one) for (taken, b), one in zip(begun, again, strict=True) if one}
    speaker = _speaker(crew, player.dialect, {name: t for name, (t, _, _) in running.items()})
    episodes = player.finish(
        [one for _, _, one in running.values()], speaker.speak, version=crew.version,
        mode=Mode.TAKEN, rung=TakeOver.number,
    )  # fmt: skip
    for (taken, one, _), episode in zip(running.values(), episodes, strict=True):
        taken.after.append(one.turns)
        taken.episodes.append(episode)
    _record(crew, iteration, found)
    speaker.book(crew, found)
    return found


def states_to_finish(
    practice: Practice, group: Sequence[Episode], iteration: int, most: int
) -> list[Begun]:
    """Return the first distinct failing episodes of a plain group, cut where a teacher takes over.

    Those that we lost are none of the student's doing, and are left out.
    """
    passed_or_ours = (Outcome.PASSED, Outcome.INFRA)
    failing = {e.sampled_ids: e for e in group if e.verdict.outcome not in passed_or_ours}
    chosen = list(failing.values())[:STATES]
    names = Plan(practice.task, HELPED, len(chosen)).episode_ids(iteration)
    return [
        Begun(name, practice.task, e, hand_over(practice.share, 1 + len(e.observed), most))
        for name, e in zip(names, chosen, strict=True)
    ]


def taken_successes(taken: Taken) -> list[Demonstration]:
    """Return the distinct verified successes: the teacher's turns are own, all else is read."""
    found: dict[tuple[int, ...], Demonstration] = {}
    for episode in taken.episodes:
        if episode.verdict.outcome is not Outcome.PASSED or not episode.sampled_ids:
            continue
        laid = laid_out(episode.sampled_ids, episode.logprobs, episode.observed)
        demo = Demonstration(
            taken.practice.task, "", taken.practice.attempt_id or episode.id,
            taken.teacher_tokens, prompt_ids=episode.prompt_ids, turns=laid,
        )  # fmt: skip
        found.setdefault(laid.ids, demo)
    return list(found.values())


def _record(crew: Crew, iteration: int, found: Sequence[Taken]) -> None:
    """Keep the episodes; a success counts only once it has passed a second time."""
    mine = [taken for taken in found if taken.episodes]
    plans = [Plan(taken.practice.task, HELPED, len(taken.episodes)) for taken in mine]
    groups = [taken.episodes for taken in mine]
    crew.keep(groups)
    counted = books.record(crew.ledger, crew.player, plans, groups, iteration=iteration)
    for taken, group in zip(mine, counted, strict=True):
        taken.episodes = group


class _Retelling:
    """Finishes by a known fix, told from the state at hand; costs nothing beside the fix."""

    def __init__(self, dialect: TurnDialect, takens: Mapping[str, Taken]) -> None:
        self.dialect, self.takens = dialect, takens
        self._left: dict[str, list[str]] = {}

    def speak(self, running: Sequence[UnderWay]) -> list[str | None]:
        """Return the next message of each."""
        return [self._next(one) for one in running]

    def book(self, crew: Crew, found: Sequence[Taken]) -> None:
        """Book nothing: the attempt that it tells was booked when it was asked for."""

    def _next(self, one: UnderWay) -> str | None:
        if one.id not in self._left:
            action, files = self.takens[one.id].practice.action, unpacked(one.task, one.files)
            told = finishing(self.dialect.NAME, one.task, files, action)
            self._left[one.id] = told or []
        left = self._left[one.id]
        return left.pop(0) if left else None


class _Talking:
    """Asks a teacher for every turn, in the student's own talk; each is paid, kept and booked."""

    def __init__(
        self, teacher: Speaks, dialect: TurnDialect, takens: Mapping[str, Taken], at_once: int
    ) -> None:
        self.teacher, self.dialect, self.takens, self.at_once = teacher, dialect, takens, at_once
        self._said: list[tuple[str, str, Said]] = []  # call, episode, what was said

    def speak(self, running: Sequence[UnderWay]) -> list[str | None]:
        """Return the next message of each; None where it was not had or not afforded."""
        with ThreadPoolExecutor(self.at_once, "teacher") as pool:
            answers = list(pool.map(self._ask, running))
        messages: list[str | None] = []
        for one, said in zip(running, answers, strict=True):
            if said is not None:
                self._said.append((one.turn_name(one.id), one.id, said))
                self.takens[one.id].teacher_tokens += said.prompt_tokens + said.completion_tokens
            messages.append(told_plainly(self.dialect, said.text) if said is not None else None)
        return messages

    def book(self, crew: Crew, found: Sequence[Taken]) -> None:
        """Book every turn as a call, with what became of its episode."""
        ends = {e.id: e.verdict.outcome for taken in found for e in taken.episodes}
        crew.ledger.record_teacher_calls(
            TeacherCall(
                call, self.takens[name].practice.task.id, TakeOver.number, said.prompt_tokens,
                said.completion_tokens, said.cost_usd, ends[name], live=True,
            )
            for call, name, said in self._said
        )  # fmt: skip
        tokens = sum(taken.teacher_tokens for taken in found)
        books.meter_teacher(crew.ledger, crew.meters.iteration, tokens)

    def _ask(self, one: UnderWay) -> Said | None:
        number = int(one.id.rpartition("/")[2])
        try:
            return self.teacher.say(one.turn_name(one.id), self._talk(one), number)
        except BudgetExhausted:
            self.takens[one.id].unpaid = True  # an ordinary state
            return None

    def _talk(self, one: UnderWay) -> list[dict[str, str]]:
        talk = [
            {"role": "system", "content": self.dialect.SYSTEM},
            {"role": "user", "content": opening(one.task)},
        ]
        for turn in one.turns:
            talk.append({"role": "assistant", "content": turn.text})
            talk.append({"role": "user", "content": turn.observation})
        return talk


def _speaker(
    crew: Crew, dialect: TurnDialect, takens: Mapping[str, Taken]
) -> _Retelling | _Talking:
    teacher = crew.teacher
    if isinstance(teacher, Speaks):
        return _Talking(teacher, dialect, takens, crew.config.teacher.concurrency)
    return _Retelling(dialect, takens)

"""Carries out the groups that rungs 1 to 5 and 7 give: draws, learns, and books what it took.

A plain group is drawn first, as evidence: a task that it thaws gets no help any more. Then
come the helped groups, one step of reinforcement on them apart from the live tasks', the
imitation of what the student found by itself or a teacher finished, and last the steps towards
a teacher that reads along.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from toprope.climb import books
from toprope.climb.crew import Crew
from toprope.climb.episodes.play import Plan, Player
from toprope.climb.help.takingover import Taken, take_over, taken_successes
from toprope.climb.training.distilling import Read
from toprope.harness.encode import begun_ids, prompt_ids
from toprope.harness.lines import express
from toprope.harness.turns.stream import laid_out
from toprope.ladder.logits import setting
from toprope.ladder.partial_credit import credit
from toprope.ladder.retry import feedback
from toprope.ladder.rung import Demonstration, Help, Practice
from toprope.ledger.rows import (
    BESIDE,
    FRESH,
    HELPED,
    IN_PROMPT,
    NOT_GIVEN,
    SELF,
    RungUse,
    Seed,
)
from toprope.ledger.states import Draws
from toprope.terms import Episode, Mode, Outcome, State

PHASE = "help"
RETRIES = 2  # failing attempts of a group that are shown to the student again


@dataclass
class _Round:
    """One practice as it goes: the rung, what was drawn, and what came of it."""

    rung: str
    practice: Practice
    before: Draws
    cold: bool = False  # after its plain group, too
    plain: list[Episode] = field(default_factory=list)
    helped: list[Episode] = field(default_factory=list)
    learned: int = 0  # own tokens that a loss was taken on
    read: Read | None = None  # what a teacher that read along found
    taken: Taken | None = None  # what a teacher that took over made of it

    @property
    def credit(self) -> bool:
        """Whether shares are rewards: a task that has thawed has binary ones."""
        return self.practice.credit and self.cold

    @property
    def results(self) -> list[Episode]:
        """Return the draws that say whether the help was enough, ours apart."""
        alone = self.practice.mode is Mode.PREFIXED and not self.practice.keep
        drawn = self.plain if alone or self.practice.mode is Mode.PLAIN else self.helped
        return [e for e in drawn if e.verdict.outcome is not Outcome.INFRA]

    @property
    def own_draws(self) -> list[Episode]:
        """Return what the student itself sampled."""
        return self.plain if self.taken else [*self.plain, *self.helped]

    @property
    def setting(self) -> str:
        """Return what is booked of how it was helped."""
        if self.taken:
            return NOT_GIVEN if self.taken.unpaid and not self.results else self.taken.setting
        return setting(self.read.nats) if self.read else self.practice.setting

    @property
    def teacher_tokens(self) -> int:
        """Return what a teacher read and wrote, beside the attempts that were asked of it."""
        told = self.taken.teacher_tokens if self.taken else 0
        return told + (self.read.teacher_tokens if self.read else 0)


def practise(crew: Crew, iteration: int, given: Sequence[Help], kind: str) -> bool:
    """Carry out the practice in `given`; return whether the policy has changed.

    `kind` is what a teacher's tokens are booked as.
    """
    began, version = time.monotonic(), crew.version
    rounds = _cold_still(
        crew,
        [
            _Round(help_.rung, practice, crew.plain_rate(practice.task.id))
            for help_ in given
            for practice in help_.practice
        ],
    )
    _draw_plain(crew, iteration, rounds)
    still = _cold_still(crew, rounds)
    for round_ in still:
        round_.cold = True
    _draw_helped(crew, iteration, still)
    _finish(crew, iteration, still)
    _reinforce(crew, rounds)
    _imitate(crew, iteration, still, kind)
    _distil(crew, iteration, still)
    _book(crew, iteration, version, given, still, kind, time.monotonic() - began)
    return crew.version != version


def _cold_still(crew: Crew, rounds: Sequence[_Round]) -> list[_Round]:
    """Return the rounds whose tasks nothing has thawed by now."""
    now = crew.ledger.states({r.practice.task.id for r in rounds})
    return [r for r in rounds if now[r.practice.task.id] in (State.COLD, State.PARKED)]


def _draw_plain(crew: Crew, iteration: int, rounds: Sequence[_Round]) -> None:
    size = crew.config.climbing.group
    plans = [Plan(r.practice.task, BESIDE, size) for r in rounds]
    if not plans:
        return
    drawn = crew.play(plans, iteration)
    groups = books.record(crew.ledger, crew.player, plans, drawn, iteration=iteration)
    for round_, group in zip(rounds, groups, strict=True):
        round_.plain = group
    moves = books.moves_after(crew.ledger, BESIDE, [plan.task.id for plan in plans])
    crew.ledger.record_transitions(iteration, moves)


def _draw_helped(crew: Crew, iteration: int, rounds: Sequence[_Round]) -> None:
    for mode in (Mode.HINTED, Mode.PREFIXED, Mode.RETRIED):
        mine = [(r, plan) for r in rounds if r.practice.mode is mode for plan in _plans(crew, r)]
        if not mine:
            continue
        plans = [plan for _, plan in mine]
        drawn = crew.play(plans, iteration, mode=mode, rung=mine[0][0].rung)
        groups = books.record(crew.ledger, crew.player, plans, drawn, iteration=iteration)
        for (round_, _), group in zip(mine, groups, strict=True):
            round_.helped += group


def _finish(crew: Crew, iteration: int, rounds: Sequence[_Round]) -> None:
    """Let a teacher finish failing episodes of the plain groups of rung 5."""
    mine = [r for r in rounds if r.practice.mode is Mode.TAKEN]
    taken = take_over(crew, iteration, [(r.practice, r.plain) for r in mine])
    for round_, one in zip(mine, taken, strict=True):
        round_.taken, round_.helped = one, one.episodes


def _plans(crew: Crew, round_: _Round) -> list[Plan]:
    """Return the helped draws of a round; none where nothing is left to help with."""
    asked, size = round_.practice, crew.config.climbing.group
    if asked.mode is Mode.HINTED:
        return [Plan(asked.task, HELPED, size, shown=asked.hint)]
    if asked.mode is Mode.PREFIXED:
        player = crew.answers
        begun = begun_ids(player.tokenizer, player.dialect, asked.task, asked.action, asked.keep)
        return [Plan(asked.task, HELPED, size, begun=begun)] if begun else []
    shown = [feedback(e.text, e.verdict.why) for e in _failing(round_.plain)]
    each = max(1, size // max(1, len(shown)))
    return [
        Plan(asked.task, HELPED, each, first=at * each, shown=text) for at, text in enumerate(shown)
    ]


def _failing(group: Sequence[Episode]) -> list[Episode]:
    """Return a few distinct well-formed attempts that failed, those nearest to passing first."""
    failed = {e.text: e for e in group if e.verdict.outcome is Outcome.FAILED}
    ranked = sorted(failed.values(), key=lambda e: (-len(e.verdict.passed), e.id))
    return ranked[:RETRIES]


def _reinforce(crew: Crew, rounds: Sequence[_Round]) -> None:
    """Take one step on the groups: a helped one after its plain one, partial credit where due."""
    groups: list[list[Episode]] = []
    for round_ in rounds:
        if round_.practice.mode is Mode.RETRIED:
            continue  # what it finds is imitated on the plain prompt, not reinforced on this one
        plain = credited(round_.plain) if round_.credit else round_.plain
        helped = [] if round_.taken else round_.helped  # what a teacher finished is imitated
        groups += [group for group in (plain, helped) if group]
        for group in (plain, helped):
            if len({e.verdict.reward for e in group}) > 1:
                round_.learned += sum(len(e.sampled_ids) for e in group)
    if not groups:
        return
    step = crew.ledger.db.execute(
        "SELECT count(DISTINCT iteration) FROM meters WHERE phase IN ('train', ?) "
        "AND iteration < ?",
        [PHASE, crew.meters.iteration],
    ).fetchone()[0]
    report = crew.learner.reinforce(groups, step=step, phase=PHASE)
    crew.version += report is not None and not report.skipped


def credited(group: Sequence[Episode]) -> list[Episode]:
    """Return a group with the rewards of partial credit; its outcomes stay what they are."""
    return [replace(e, verdict=replace(e.verdict, reward=_credit(e))) for e in group]


def _credit(episode: Episode) -> float:
    verdict = episode.verdict
    passed, failed = len(verdict.passed), len(verdict.failed)
    return credit(verdict.outcome, passed, passed + failed)


def _imitate(crew: Crew, iteration: int, rounds: Sequence[_Round], kind: str) -> None:
    """Imitate distinct verified successes: of retries as answers to the plain prompt, and those
    that a teacher finished, on its turns.
    """
    demos: list[Demonstration] = []
    seeds: list[Seed] = []
    epochs, most = crew.config.seeding.epochs, crew.config.seeding.per_task
    for round_ in rounds:
        found: list[Demonstration] = []
        if round_.practice.mode is Mode.RETRIED:
            found = own_successes(crew, round_.helped)[:most]
        elif round_.taken:
            found = taken_successes(round_.taken)
        whose = kind if round_.taken else SELF
        for demo in found:
            tokens = crew.learner.own_tokens(demo) * epochs
            round_.learned += tokens
            demos.append(demo)
            seeds.append(
                Seed(iteration, 0, demo.task.id, round_.rung, demo.attempt_id, whose, tokens)
            )
    if demos:
        crew.learner.imitate(demos, seed=crew.config.seed)
        crew.version += 1
        crew.ledger.record_seeds(seeds)


def _distil(crew: Crew, iteration: int, rounds: Sequence[_Round]) -> None:
    """Draw the plain groups of rung 7 towards the teacher that reads along, and book it."""
    mine = [r for r in rounds if r.practice.distil]
    if not mine or crew.distiller is None:
        return
    seeds: list[Seed] = []
    for round_, read in zip(mine, crew.distiller.learn([r.plain for r in mine]), strict=True):
        if read is None:
            continue
        round_.read, tokens = read, read.own_tokens
        round_.learned += tokens
        task_id = round_.practice.task.id
        seeds.append(Seed(iteration, 0, task_id, round_.rung, "", FRESH, tokens))
    crew.version += bool(seeds)
    crew.ledger.record_seeds(seeds)


def own_successes(crew: Crew, group: Sequence[Episode]) -> list[Demonstration]:
    """Return the distinct successes of a group, token by token as they were sampled."""
    found: dict[tuple[int, ...], Demonstration] = {}
    for episode in group:
        if episode.verdict.outcome is not Outcome.PASSED:
            continue
        task = crew.by_id[episode.task_id]
        ids = episode.sampled_ids
        if not isinstance(crew.player, Player):
            laid = laid_out(ids, episode.logprobs, episode.observed)
            done = Demonstration(task, "", episode.id, 0, ids, episode.prompt_ids, laid)
            found.setdefault(laid.ids, done)
            continue
        action = express(task, crew.player.dialect.parse(episode.text, task))
        if action is not None:
            found.setdefault(ids, Demonstration(task, action, episode.id, 0, ids))
    return list(found.values())


def _book(
    crew: Crew,
    iteration: int,
    version: int,
    given: Sequence[Help],
    rounds: Sequence[_Round],
    kind: str,
    seconds: float,
) -> None:
    """Write a row for every use, and one for every task that a rung had nothing to give."""
    asked: dict[tuple[str, str], int] = {}
    for help_ in given:
        for attempt in help_.attempts:
            key = help_.rung, attempt.task_id
            tokens = attempt.prompt_tokens + attempt.completion_tokens
            asked[key] = asked.get(key, 0) + tokens
    uses = [
        RungUse(
            iteration=iteration,
            task_id=r.practice.task.id,
            rung=r.rung,
            teacher_tokens=asked.get((r.rung, r.practice.task.id), 0) + r.teacher_tokens,
            student_tokens=r.learned + sum(len(e.sampled_ids) for e in r.own_draws),
            before_s=r.before.successes,
            before_n=r.before.draws,
            setting=r.setting,
            version=version,
            helped_s=sum(e.verdict.outcome is Outcome.PASSED for e in r.results),
            helped_n=len(r.results),
            seconds=seconds / len(rounds),
        )
        for r in rounds
    ]
    for help_ in given:
        for task_id in help_.gave_up:
            rate, tokens = crew.plain_rate(task_id), asked.get((help_.rung, task_id), 0)
            uses.append(
                RungUse(
                    iteration, task_id, help_.rung, tokens, 0, rate.successes, rate.draws,
                    NOT_GIVEN, version,
                )
            )  # fmt: skip
    crew.ledger.record_rung_uses(uses)
    crew.ledger.record_seeds(
        Seed(
            iteration, 0, r.practice.task.id, r.rung, r.practice.attempt_id, kind, shown, IN_PROMPT
        )
        for r in rounds
        if (shown := _shown_tokens(crew, r))
    )


def _shown_tokens(crew: Crew, round_: _Round) -> int:
    """Return the teacher's tokens in the prompts of a round's helped draws."""
    asked = round_.practice
    if asked.mode is Mode.PREFIXED:
        return asked.keep * len(round_.helped)
    if asked.mode is not Mode.HINTED:
        return 0
    player = crew.answers
    plain = prompt_ids(player.tokenizer, player.dialect, asked.task)
    with_hint = prompt_ids(player.tokenizer, player.dialect, asked.task, shown=asked.hint)
    return (len(with_hint) - len(plain)) * len(round_.helped)

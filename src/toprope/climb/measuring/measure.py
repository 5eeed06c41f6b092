"""The measurements around the climbing: proofs, cold test, protocol granted, held-out, base.

Each draws at one frozen policy version and writes evidence; none changes the policy.
"""

from __future__ import annotations

from collections.abc import Sequence

from toprope.climb import books
from toprope.climb.crew import Crew
from toprope.climb.episodes.play import Plan
from toprope.climb.measuring import admit
from toprope.climb.pool import choose
from toprope.grading import ALARM, Proof, prove_many
from toprope.ledger import pool
from toprope.ledger.rows import (
    BASE,
    COLD,
    FROZEN_BASE,
    GRANTED,
    PILOT,
    dev_purpose,
    impossible_note,
)
from toprope.terms import Episode, Mode, Outcome, State, Task


def prove_all(crew: Crew, tasks: Sequence[Task]) -> list[tuple[Task, Proof]]:
    """Return the tasks with their proofs, without those whose proof our own faults prevented."""
    grader = crew.player.grader
    with crew.meters.phase("grade"):
        proofs = prove_many(tasks, grader.sandbox, times=1, retries=grader.retries)
    pairs = zip(tasks, proofs, strict=True)
    return [(task, proof) for task, proof in pairs if isinstance(proof, Proof)]


def evaluate(crew: Crew, iteration: int, purpose: str, tasks: Sequence[Task], draws: int) -> None:
    """Draw plain episodes of frozen-split tasks for a point that the report names.

    Tasks that are found broken before their first draw are left out, here and at every point.
    """
    tasks = admit.sound(crew, iteration, purpose, tasks)
    plans = [Plan(task, purpose, draws, common=True) for task in tasks]
    groups = crew.play(plans, iteration, phase="eval")
    books.record(crew.ledger, crew.player, plans, groups, iteration=iteration)
    _draw_baits(crew, iteration, purpose)


def _draw_baits(crew: Crew, iteration: int, purpose: str) -> None:
    """Draw the impossible tasks a few times, and note every pass: it can only be a cheat.

    They are no evidence of ability, so nothing else of them is booked.
    """
    name = f"bait:{purpose}"
    plans = choose.bait_plans(crew.taskset, crew.config.seed, name)
    baits = admit.sound(crew, iteration, name, [plan.task for plan in plans])
    plans = [plan for plan in plans if plan.task in baits]
    if not plans:
        return
    episodes = [e for group in crew.play(plans, iteration, phase="eval") for e in group]
    alarms = [episode.id for episode in episodes if episode.verdict.why == ALARM]
    crew.ledger.note(
        iteration, impossible_note(purpose), {"draws": len(episodes), "alarms": alarms}
    )


def evaluate_dev(crew: Crew, iteration: int) -> float | None:
    """Return the dev pass rate at this version, drawing its episodes; None if none counted."""
    purpose, draws = dev_purpose(iteration), crew.config.evaluation.dev_draws
    tasks = admit.sound(crew, iteration, purpose, crew.dev)
    plans = [Plan(task, purpose, draws, common=True) for task in tasks]
    groups = crew.play(plans, iteration, phase="eval")
    books.record(crew.ledger, crew.player, plans, groups, iteration=iteration)
    judged = [e for group in groups for e in group if e.verdict.outcome is not Outcome.INFRA]
    rewards = [e.verdict.reward for e in judged]
    return sum(rewards) / len(rewards) if rewards else None


def cold_test(crew: Crew, iteration: int, tasks: Sequence[Task]) -> list[list[Episode]]:
    """Draw the zero-success test of unseen tasks, place them, and mark the never-seeded quarter.

    Returns each task's episodes as they count, with those that were drawn once more.
    """
    settings = crew.config.cold_start
    before = crew.ledger.states(t.id for t in tasks)
    tested = [t for t in tasks if before[t.id] is State.UNSEEN]
    crew.ledger.mark_tested(task.id for task in tested)
    plans = [Plan(task, COLD, settings.draws) for task in tested]
    drawn = crew.play(plans, iteration)
    groups = books.record(crew.ledger, crew.player, plans, drawn, iteration=iteration)
    groups = _draw_lost_again(crew, iteration, plans, groups)
    ids = [task.id for task in tested]
    moves = books.moves_after(crew.ledger, COLD, ids, needed=settings.draws)
    dealt, marked = pool.control(crew.ledger.db)
    crew.ledger.record_transitions(iteration, moves)
    now = crew.ledger.states(ids)
    cold = [task for task in tested if now[task.id] is State.COLD]
    kept_out = choose.control_size(settings.never_seeded, len(cold), dealt=dealt, marked=marked)
    name = f"never seeded {iteration}" if iteration else "never seeded"
    control = choose.random_part(cold, kept_out, crew.config.seed, name)
    crew.ledger.mark_never_seeded(task.id for task in control)
    return groups


def _draw_lost_again(
    crew: Crew, iteration: int, plans: Sequence[Plan], groups: Sequence[Sequence[Episode]]
) -> list[list[Episode]]:
    """Make up, once, for draws that infrastructure took from tasks without a success.

    The new draws are numbered on from the planned ones, so that every number is drawn with
    randomness of its own and a resumed run draws the same.
    """
    again = {
        plan.task.id: Plan(plan.task, plan.purpose, lost, first=plan.first + plan.draws)
        for plan, group in zip(plans, groups, strict=True)
        if (lost := _lost(group))
    }
    if not again:
        return [list(group) for group in groups]
    wanted = list(again.values())
    drawn = crew.play(wanted, iteration)
    counted = books.record(crew.ledger, crew.player, wanted, drawn, iteration=iteration)
    more = dict(zip(again, counted, strict=True))
    return [
        [*group, *more.get(plan.task.id, [])] for plan, group in zip(plans, groups, strict=True)
    ]


def _lost(group: Sequence[Episode]) -> int:
    """Return how many draws a task still lacks; none where a success has decided it."""
    outcomes = [episode.verdict.outcome for episode in group]
    return 0 if Outcome.PASSED in outcomes else outcomes.count(Outcome.INFRA)


def protocol_granted(crew: Crew, iteration: int) -> None:
    """Draw a random part of the tested tasks with two worked examples and the form forced."""
    settings = crew.config.cold_start
    tested = crew.train[: settings.tasks]
    part = choose.random_part(tested, settings.granted_tasks, crew.config.seed, "granted")
    plans = [Plan(task, GRANTED, settings.granted_draws) for task in part]
    groups = crew.play(plans, iteration, mode=Mode.GRANTED)
    books.record(crew.ledger, crew.player, plans, groups, iteration=iteration)


def pilot(crew: Crew, iteration: int, tasks: Sequence[Task], draws: int) -> list[list[Episode]]:
    """Draw cold tasks again at this version; one success in too few draws gets a second chunk.

    Returns each task's episodes as they count.
    """
    plans = [Plan(task, PILOT, draws) for task in tasks]
    drawn = crew.play(plans, iteration)
    groups = books.record(crew.ledger, crew.player, plans, drawn, iteration=iteration)
    close = [
        Plan(plan.task, PILOT, draws, first=draws)
        for plan, group in zip(plans, groups, strict=True)
        if sum(e.verdict.reward for e in group) == 1 and draws * 2 <= 16
    ]
    counted = {plan.task.id: group for plan, group in zip(plans, groups, strict=True)}
    if close:
        more = crew.play(close, iteration)
        again = books.record(crew.ledger, crew.player, close, more, iteration=iteration)
        for plan, group in zip(close, again, strict=True):
            counted[plan.task.id] = [*counted[plan.task.id], *group]
    moves = books.moves_after(crew.ledger, PILOT, [task.id for task in tasks])
    crew.ledger.record_transitions(iteration, moves)
    return list(counted.values())


def frozen_base(crew: Crew, iteration: int) -> None:
    """Give the frozen base the draws that the cold tasks got, in chunks of 8 at version 0."""
    draws = crew.config.evaluation.frozen_base_draws
    cold = [crew.by_id[task_id] for task_id in crew.ever_cold()]
    part = choose.random_part(cold, crew.config.seeding.pilot_tasks, crew.config.seed, "base")
    if not draws or not part:
        return
    player = crew.base_player()
    plans = [Plan(task, FROZEN_BASE, draws) for task in part]
    groups = player.play(plans, iteration=iteration, version=0, phase="eval")
    crew.keep(groups)
    books.record(crew.ledger, player, plans, groups, iteration=iteration, policy=BASE)

"""Books episodes in the ledger: evidence rows, second gradings, and the moves they cause."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from toprope.climb.episodes.play import Plan, Plays
from toprope.ledger import states
from toprope.ledger.diagnosis import Diagnosis, Draw
from toprope.ledger.diagnosis import diagnose as diagnosed
from toprope.ledger.rows import (
    COLD,
    HELPED,
    PILOT,
    REVIEW,
    STUDENT,
    TRAIN,
    TRAINING_SIDE,
    Evidence,
    Meter,
)
from toprope.ledger.states import Transition
from toprope.ledger.store import Ledger
from toprope.terms import Episode, Mode, Outcome, State

UNPROVEN = (State.UNSEEN, State.COLD, State.PARKED)


def record(
    ledger: Ledger,
    player: Plays,
    plans: Sequence[Plan],
    groups: Sequence[Sequence[Episode]],
    *,
    iteration: int,
    policy: str = STUDENT,
) -> list[list[Episode]]:
    """Write the evidence of played plans; rare successes are graded a second time first.

    Returns the groups as they count: a success that the second grading refuted has failed,
    and one that could not be graded again is lost to infrastructure.
    """
    second = _second_look(ledger, player, plans, groups) if policy == STUDENT else {}
    counted = [[_as_counted(episode, second) for episode in group] for group in groups]
    ledger.record_evidence(
        Evidence(
            episode_id=episode.id,
            iteration=iteration,
            purpose=plan.purpose,
            task_id=episode.task_id,
            version=episode.version,
            policy=policy,
            mode=episode.mode,
            rung=episode.rung,
            draw=plan.first + at,
            outcome=Outcome.PASSED if second.get(episode.id) is False else episode.verdict.outcome,
            reward=episode.verdict.reward,
            reverified=second.get(episode.id),
            prompt_tokens=len(episode.prompt_ids),
            sampled_tokens=len(episode.sampled_ids),
            **_tests(episode),
        )
        for plan, group in zip(plans, counted, strict=True)
        for at, episode in enumerate(group)
    )
    return counted


def _second_look(
    ledger: Ledger,
    player: Plays,
    plans: Sequence[Plan],
    groups: Sequence[Sequence[Episode]],
) -> dict[str, bool | None]:
    """Re-grade successes on tasks that had none: a false one there has the largest gradient.

    Returns per episode whether it passed again, or None where we failed to find out.
    """
    now = ledger.states({plan.task.id for plan in plans})
    pairs = [
        (plan.task, episode)
        for plan, group in zip(plans, groups, strict=True)
        for episode in group
        if (
            plan.purpose == HELPED or (plan.purpose in TRAINING_SIDE and episode.mode is Mode.PLAIN)
        )
        and episode.verdict.outcome is Outcome.PASSED
        and now.get(plan.task.id) in UNPROVEN
    ]
    held = player.regrade(pairs)
    return {episode.id: ok for (_, episode), ok in zip(pairs, held, strict=True)}


def _as_counted(episode: Episode, second: Mapping[str, bool | None]) -> Episode:
    """Return the episode with the verdict that both gradings together give it."""
    if second.get(episode.id, True):
        return episode
    outcome = Outcome.INFRA if second[episode.id] is None else Outcome.FAILED
    why = f"passed, but not when graded again ({outcome})"
    return replace(episode, verdict=replace(episode.verdict, outcome=outcome, reward=0.0, why=why))


def moves_after(
    ledger: Ledger, purpose: str, task_ids: Sequence[str], *, needed: int = states.COLD_DRAWS
) -> list[Transition | None]:
    """Return the state changes that the newest evidence of these tasks calls for.

    In a cold test `needed` draws without a success make a task cold; fewer decide nothing.
    """
    if purpose == COLD:
        tested = ledger.plain_draws(purposes=[COLD], task_ids=task_ids)
        return [states.after_cold_test(t, tested.get(t, []), needed=needed) for t in task_ids]
    now, since_test_side = ledger.states(task_ids), [p for p in TRAINING_SIDE if p != COLD]
    draws = ledger.plain_draws(task_ids=task_ids)
    since_test = ledger.plain_draws(purposes=since_test_side, task_ids=task_ids)
    reviews = ledger.plain_draws(purposes=[REVIEW], task_ids=task_ids)
    moves: list[Transition | None] = []
    for task_id in task_ids:
        state = now[task_id]
        if state in (State.COLD, State.PARKED):
            moves.append(states.after_pilot(task_id, state, since_test.get(task_id, [])))
        elif state is State.MASTERED:
            moves.append(states.after_review(task_id, state, reviews.get(task_id, [])))
        else:
            moves.append(states.after_draws(task_id, state, draws.get(task_id, [])))
    return moves


def meter_teacher(ledger: Ledger, iteration: int, tokens: int) -> None:
    """Book what a teacher's model computed for so many tokens, where its size is known."""
    size = float(ledger.facts().get("teacher_parameters") or 0)
    ledger.record_meters([Meter(iteration, "teacher", flops=2 * size * tokens)] if tokens else [])


def diagnose(groups: Sequence[Sequence[Episode]]) -> dict[str, Any]:
    """Say why all-fail groups failed: malformed, near (right place or some tests), far, ours."""
    counts = {**{str(name): 0 for name in Diagnosis}, "solved": 0}
    for group in groups:
        if any(episode.verdict.outcome is Outcome.PASSED for episode in group):
            counts["solved"] += 1
        else:
            draws = [Draw(e.verdict.outcome, *_tests(e).values()) for e in group]
            counts[diagnosed(draws)] += 1
    return counts


def _tests(episode: Episode) -> dict[str, int | None]:
    """Return how many of the required tests passed, of how many; None where none was run."""
    passed, failed = len(episode.verdict.passed), len(episode.verdict.failed)
    ran = passed + failed > 0
    return {"tests_passed": passed if ran else None, "tests": passed + failed if ran else None}


__all__ = ["PILOT", "TRAIN", "diagnose", "moves_after", "record"]

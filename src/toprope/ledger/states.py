"""The state machine of a task, pure: evidence in, the next state and its reason out.

`unseen -> {broken, cold, live}`, `cold -> live` (thaw), `live <-> mastered`,
`live -> cold`, `cold <-> parked`; a parked task that thaws goes straight to live.
Every function returns a `Transition`, or None when the task stays where it is.
It must not know where evidence is stored or who drew it.

Successes handed in are *verified* ones, of plain draws by the student that are not
`infra`. Evidence is a sequence of `Draws` in the order they were made, oldest first.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from toprope.terms import State

COLD_DRAWS = 16
THAW_SUCCESSES = 2
THAW_DRAWS = 16
MASTER_DRAWS = 16
FREEZE_DRAWS = 32
RETEST_DRAWS = 8
RETEST_PASSES = 7
TEACHER_DRAWS = 8


class Draws(NamedTuple):
    """Plain draws made together at one policy version, and the verified successes in them."""

    version: int
    successes: int
    draws: int


class Transition(NamedTuple):
    """A task changes state, and why, in words that a report can print."""

    task_id: str
    before: State
    after: State
    reason: str


def after_proof(
    task_id: str, before: State, *, reference_passes: bool, unchanged_fails: bool
) -> Transition | None:
    """Broken if the reference fix fails, or if doing nothing passes."""
    if before is State.BROKEN or (reference_passes and unchanged_fails):
        return None
    reason = "doing nothing passes" if reference_passes else "the reference fix fails"
    return Transition(task_id, before, State.BROKEN, reason)


def after_cold_test(
    task_id: str, evidence: Sequence[Draws], *, needed: int = COLD_DRAWS
) -> Transition | None:
    """Unseen to cold or live: the zero-success test at one frozen version.

    A first verified success makes the task live by definition; no success in `needed`
    draws makes it cold; fewer draws without one decide nothing.
    """
    versions = {chunk.version for chunk in evidence}
    if len(versions) > 1:
        raise ValueError(f"a cold test is made at one version, got {sorted(versions)}")
    successes, draws = _total(evidence)
    if successes:
        reason = f"{successes} of {draws} plain draws passed in the cold test"
        return Transition(task_id, State.UNSEEN, State.LIVE, reason)
    if draws < needed:
        return None
    return Transition(task_id, State.UNSEEN, State.COLD, f"0 of {draws} in the cold test")


def has_thawed(evidence: Sequence[Draws]) -> bool:
    """At least 2 verified successes in at most 16 draws in a row at one version."""
    return _thaw_window(evidence) is not None


def needs_second_look(evidence: Sequence[Draws]) -> bool:
    """The latest version showed one success in too few draws to decide a thaw."""
    tail = _tail_at_one_version(evidence)
    successes, draws = _total(tail)
    return successes == 1 and draws < THAW_DRAWS


def after_pilot(task_id: str, before: State, evidence: Sequence[Draws]) -> Transition | None:
    """Cold or parked to live: a thaw, judged on the plain draws since the cold test."""
    if before not in (State.COLD, State.PARKED):
        return None
    window = _thaw_window(evidence)
    if window is None:
        return None
    reason = f"{window.successes} of {window.draws} plain draws passed at version {window.version}"
    return Transition(task_id, before, State.LIVE, reason)


def after_draws(
    task_id: str, before: State, evidence: Sequence[Draws], *, needed: int = COLD_DRAWS
) -> Transition | None:
    """What training draws say: an unseen task is placed, a live one is mastered or freezes."""
    if before is State.UNSEEN:
        return _place_unseen(task_id, evidence, needed)
    if before is not State.LIVE:
        return None
    tail = _tail_at_one_version(evidence)
    passes, failures = _ending_run(tail, passing=True), _ending_run(tail, passing=False)
    if _total(passes)[1] >= MASTER_DRAWS:
        return Transition(task_id, before, State.MASTERED, _of(passes))
    if _total(failures)[1] >= FREEZE_DRAWS:
        return Transition(task_id, before, State.COLD, "regression: " + _of(failures))
    return None


def after_review(task_id: str, before: State, retests: Sequence[Draws]) -> Transition | None:
    """Mastered to live after two failed re-tests in a row, each of 8 draws and below 7/8."""
    if before is not State.MASTERED or len(retests) < 2:
        return None
    last = retests[-2:]
    if not all(_failed_retest(chunk) for chunk in last):
        return None
    told = " and ".join(f"{chunk.successes} of {chunk.draws}" for chunk in last)
    return Transition(task_id, before, State.LIVE, f"regression: re-tests passed {told}")


def parked(
    task_id: str,
    before: State,
    *,
    rungs_allowed: Collection[str],
    rungs_tried: Collection[str],
    teacher_attempts: int = 0,
    teacher_successes: int = 0,
) -> Transition | None:
    """Cold to parked: every allowed rung was tried, or no teacher solves the task in 8."""
    if before is not State.COLD:
        return None
    if teacher_attempts >= TEACHER_DRAWS and teacher_successes == 0:
        reason = f"the teacher solved it in 0 of {teacher_attempts} attempts"
        return Transition(task_id, before, State.PARKED, reason)
    if set(rungs_allowed) <= set(rungs_tried):
        return Transition(task_id, before, State.PARKED, "every allowed rung has been tried")
    return None


def unparked(task_id: str, before: State, *, reason: str) -> Transition | None:
    """Parked to cold: there is help again (a new rung, teacher or budget)."""
    if before is not State.PARKED:
        return None
    return Transition(task_id, before, State.COLD, reason)


def pilot_due(iteration: int, last_pilot: int, count: int) -> bool:
    """Whether a cold or parked task is due for 8 plain draws: after 1, 2, 4, 8 ... updates.

    `count` pilots were made so far; `last_pilot` is the iteration of the last one, or of
    the cold test.
    """
    return iteration - last_pilot >= 2**count


def _place_unseen(task_id: str, evidence: Sequence[Draws], needed: int) -> Transition | None:
    successes, draws = _total(evidence)
    if successes:
        reason = f"{successes} of {draws} plain draws passed"
        return Transition(task_id, State.UNSEEN, State.LIVE, reason)
    tail = _tail_at_one_version(evidence)
    if _total(tail)[1] < needed:
        return None
    return Transition(task_id, State.UNSEEN, State.COLD, _of(tail))


def _thaw_window(evidence: Sequence[Draws]) -> Draws | None:
    """The first run of chunks at one version that meets the thaw rule, as one chunk.

    Chunks are not split: which draw of a chunk passed is not handed in.
    """
    for end in range(1, len(evidence) + 1):
        successes = draws = 0
        version = evidence[end - 1].version
        for chunk in reversed(evidence[:end]):
            if chunk.version != version or draws + chunk.draws > THAW_DRAWS:
                break
            successes, draws = successes + chunk.successes, draws + chunk.draws
            if successes >= THAW_SUCCESSES:
                return Draws(version, successes, draws)
    return None


def _tail_at_one_version(evidence: Sequence[Draws]) -> list[Draws]:
    return list(_while_at_version(evidence))[::-1]


def _while_at_version(evidence: Sequence[Draws]) -> Iterator[Draws]:
    for chunk in reversed(evidence):
        if chunk.version != evidence[-1].version:
            return
        yield chunk


def _ending_run(evidence: Sequence[Draws], *, passing: bool) -> list[Draws]:
    """The chunks at the end in which every draw passed (or every draw failed)."""
    run: list[Draws] = []
    for chunk in reversed(evidence):
        if chunk.successes != (chunk.draws if passing else 0):
            break
        run.append(chunk)
    return run


def _failed_retest(chunk: Draws) -> bool:
    return chunk.draws >= RETEST_DRAWS and chunk.successes * RETEST_DRAWS < (
        RETEST_PASSES * chunk.draws
    )


def _total(evidence: Sequence[Draws]) -> tuple[int, int]:
    return sum(c.successes for c in evidence), sum(c.draws for c in evidence)


def _of(run: Sequence[Draws]) -> str:
    successes, draws = _total(run)
    return f"{successes} of {draws} plain draws passed at version {run[-1].version}"

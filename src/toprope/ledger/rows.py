"""What the ledger stores, row by row, as frozen types whose fields are the columns.

The order of the fields is the order of the columns in `schema.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

from toprope.terms import Mode, Outcome, Split, State, Tier

STUDENT = "student"
BASE = "base"

# Purposes of evidence. A dev evaluation at iteration 12 is `dev_purpose(12)`.
COLD = "cold"
GRANTED = "granted"
PILOT = "pilot"
TRAIN = "train"
REVIEW = "review"
THAW_CHECK = "thaw-check"
BESIDE = "beside"  # a plain group that a rung draws: its own, or the partner of a helped one
HELPED = "help"  # with a hint, a prefix or feedback: never evidence of ability
FROZEN_BASE = "base"
BEFORE = "eval:before"
AFTER_SEEDING = "eval:after_seeding"
AFTER = "eval:after"
TRAINING_SIDE = (COLD, PILOT, TRAIN, REVIEW, THAW_CHECK, BESIDE)

FRESH = "fresh"  # the kind of a seed that a teacher gave to this run
SELF = "self"  # the kind of a seed that the student found itself: no teacher token
FORM = "form"  # of one that shows the form of an answer and no right one: no teacher token
NOT_GIVEN = "nothing to give"  # the setting of a rung that found nothing to help with
ADMISSION = "admission"  # what the keys of notes on proofs of evaluated tasks begin with
IN_LOSS, IN_PROMPT = "loss", "prompt"  # the places of a seed


def dev_purpose(iteration: int) -> str:
    """The purpose of dev evidence drawn at the end of an iteration."""
    return f"eval:dev:{iteration}"


def impossible_note(purpose: str) -> str:
    """The key of the note on draws of impossible tasks beside an evaluation."""
    return f"impossible:{purpose}"


def admission_note(purpose: str) -> str:
    """The key of the note on which tasks an evaluation proved before it first drew them."""
    return f"{ADMISSION}:{purpose}"


@dataclass(frozen=True, slots=True)
class TaskRow:
    """A task as the ledger knows it. `mutator_p` is the no-model baseline's chance."""

    task_id: str
    split: Split
    tier: Tier | None
    cluster: str
    ordinal: int
    never_seeded: bool = False
    tested: bool = False
    mutator_p: float | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """One episode's outcome. `reverified` is None if not re-graded, else what that said.

    `tests_passed` of the `tests` that the task requires; None where none was run.
    """

    episode_id: str
    iteration: int
    purpose: str
    task_id: str
    version: int
    policy: str
    mode: Mode
    rung: str
    draw: int
    outcome: Outcome
    reward: float
    reverified: bool | None
    prompt_tokens: int
    sampled_tokens: int
    tests_passed: int | None = None
    tests: int | None = None


@dataclass(frozen=True, slots=True)
class StateChange:
    """A `states.Transition` with the iteration and the place in it."""

    iteration: int
    seq: int
    task_id: str
    before: State
    after: State
    reason: str


@dataclass(frozen=True, slots=True)
class TeacherCall:
    """One teacher attempt that was asked for. `live` is False when a recording answered."""

    call_id: str
    task_id: str
    rung: str
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float
    outcome: Outcome
    live: bool


@dataclass(frozen=True, slots=True)
class Seed:
    """Tokens that nobody sampled in a plain episode, and that entered a prompt or a loss.

    `kind` is "fresh", "recorded", "replayed" or "reference", which are teacher- or
    reference-derived, or "self". `seq` orders an iteration; `place` says what they entered.
    """

    iteration: int
    seq: int
    task_id: str
    rung: str
    attempt_id: str
    kind: str
    tokens: int
    place: str = IN_LOSS


@dataclass(frozen=True, slots=True)
class RungUse:
    """A rung given to a task at a policy version: what it cost and what the help did.

    `before_s` of `before_n` plain draws had passed at the newest look before it. `setting` is
    the rung's own (a tier, a length); `helped_s` of `helped_n` helped draws passed, None where
    none was drawn. Student tokens are those sampled and learned from on its account; `seconds`
    are wall-clock, shared evenly over what was done together, and not part of the digest.
    """

    iteration: int
    task_id: str
    rung: str
    teacher_tokens: int
    student_tokens: int
    before_s: int
    before_n: int
    setting: str = ""
    version: int = 0
    helped_s: int | None = None
    helped_n: int | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Meter:
    """What a phase of an iteration used.

    Phases: "sample", "eval", "seed" (a seed's optimiser steps), "train" (RL steps),
    "help" (RL steps on the groups of a rung), "teacher" (as if live).
    What the phase "teacher" has processed was read for its distributions (rung 7).
    `trained_tokens` are the tokens that a loss was taken on.
    """

    iteration: int
    phase: str
    processed_tokens: int = 0
    sampled_tokens: int = 0
    trained_tokens: int = 0
    flops: float = 0.0
    episodes: int = 0


@dataclass(frozen=True, slots=True)
class Commit:
    """An iteration that is whole: the policy version and checkpoint it ended with."""

    iteration: int
    version: int
    checkpoint: str

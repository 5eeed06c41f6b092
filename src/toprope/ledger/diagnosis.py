"""Why draws without a success failed, pure: what the ladder chooses a rung by.

It must not know which rungs there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from toprope.terms import Outcome


class Diagnosis(StrEnum):
    """What stands between a task and its first success."""

    MALFORMED = "malformed"
    NEAR = "near"
    FAR = "far"
    INFRA = "infra"


class Draw(NamedTuple):
    """How one plain draw ended; the tests are None where none was run."""

    outcome: Outcome
    tests_passed: int | None = None
    tests: int | None = None


def diagnose(draws: Sequence[Draw]) -> Diagnosis:
    """Return the diagnosis of draws none of which passed.

    Malformed if more than half are; near if some well-formed one passed some of the tests;
    infra if ours failed throughout; else far.
    """
    judged = [draw for draw in draws if draw.outcome is not Outcome.INFRA]
    if not judged:
        return Diagnosis.INFRA
    if 2 * sum(draw.outcome is Outcome.MALFORMED for draw in judged) > len(judged):
        return Diagnosis.MALFORMED
    if any(draw.outcome is Outcome.FAILED and draw.tests_passed for draw in judged):
        return Diagnosis.NEAR
    return Diagnosis.FAR

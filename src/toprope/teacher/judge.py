"""From a teacher's raw text to what it is worth: extract, grade, re-express.

The one road that live, recorded and replayed answers all take, so that a replay can be
compared with what was recorded. Knows nothing of endpoints and budgets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from toprope.grading import Grader
from toprope.teacher.prompt import NoAnswer, extract
from toprope.teacher.protocol import Express, Files
from toprope.teacher.reexpress import reexpress
from toprope.terms import Outcome, Task


@dataclass(frozen=True, slots=True)
class Judged:
    """An answer's outcome with its reason, and the student's action if it has one."""

    outcome: Outcome
    why: str
    action: str | None


def judge(text: str, task: Task, grader: Grader, express: Express) -> Judged:
    """Judge a teacher's text as an attempt at `task`; never raises for a bad answer."""
    try:
        files = extract(text, task)
    except NoAnswer as error:
        return Judged(Outcome.MALFORMED, str(error), None)
    if files == {path: task.files[path] for path in files}:
        return Judged(Outcome.FAILED, "gave the function back unchanged", None)
    verdict = grader.grade_many([(task.id, task, files)])[0]
    if verdict.outcome is not Outcome.PASSED:
        return Judged(verdict.outcome, verdict.why, None)

    def verify(states: Sequence[Files]) -> list[bool]:
        verdicts = grader.grade_many([(task.id, task, state) for state in states])
        return [verdict.outcome is Outcome.PASSED for verdict in verdicts]

    expressed = reexpress(task, files, verify, express)
    why = verdict.why if expressed.action else f"passes, not expressible: {expressed.why}"
    return Judged(Outcome.PASSED, why, expressed.action)

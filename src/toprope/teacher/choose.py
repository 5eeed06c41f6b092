"""Opens the teacher that settings name."""

from __future__ import annotations

from toprope.grading import Grader
from toprope.teacher.form import FormTeacher
from toprope.teacher.live import LiveTeacher
from toprope.teacher.openai import Endpoint
from toprope.teacher.protocol import Budget, Express, Teacher, TeacherError
from toprope.teacher.recorded import RecordedTeacher
from toprope.teacher.reference import ReferenceTeacher
from toprope.teacher.server import about

KINDS = ("none", "recorded", "reference", "openai", "form")


def open_teacher(
    kind: str,
    *,
    recording: str = "default",
    endpoint: str = "",
    model: str = "",
    max_tokens: int = 0,
    grader: Grader | None = None,
    express: Express | None = None,
) -> Teacher | None:
    """Return the teacher of a kind, or None for "none"; `max_tokens` 0 is no limit.

    `express` is the harness's: it writes a fix as the student's action.

    Raises:
        TeacherError: an unknown kind, an unreadable recording, an endpoint that is missing
            or does not answer, no `express` where an answer must be put into the student's form.
    """
    budget = Budget(tokens=max_tokens or None)
    if kind == "none":
        return None
    if kind == "reference":
        if express is None:
            raise TeacherError(
                "the reference's fix must be put into the student's form: give express"
            )
        return ReferenceTeacher(express)
    if kind == "form":
        if express is None or grader is None:
            raise TeacherError("wrong edits are graded and expressed: give grader and express")
        return FormTeacher(grader, express)
    if kind == "recorded":
        return RecordedTeacher.open(recording, budget=budget)
    if kind != "openai":
        raise TeacherError(f"no teacher of kind {kind!r}; there are {', '.join(KINDS)}")
    if not endpoint:
        raise TeacherError("the openai teacher needs an endpoint: give its URL")
    asked = Endpoint(endpoint, model=model or "default")
    told = about(asked)
    if not model:
        asked.model = told.model
    return LiveTeacher(
        asked,
        model or told.model,
        grader=grader,
        express=express,
        budget=budget,
        parameters=told.parameters,
    )

"""Opens the teacher that settings name."""

from __future__ import annotations

from collections.abc import Callable

from toprope.grading import Grader
from toprope.teacher.cache import AttemptCache
from toprope.teacher.form import FormTeacher
from toprope.teacher.live import LiveTeacher
from toprope.teacher.openai import Endpoint, EndpointError
from toprope.teacher.protocol import Budget, Express, Price, Teacher, TeacherError
from toprope.teacher.question import ANSWER_TOKENS
from toprope.teacher.recorded import RecordedTeacher
from toprope.teacher.reference import ReferenceTeacher
from toprope.teacher.server import About, about

KINDS = ("none", "recorded", "reference", "openai", "llama", "form")
LIVE = ("openai", "llama")


def open_teacher(
    kind: str,
    *,
    recording: str = "default",
    endpoint: Endpoint | None = None,
    budget: Budget | None = None,
    price: Price | None = None,
    answer_tokens: int = ANSWER_TOKENS,
    concurrency: int = 4,
    cache: AttemptCache | None = None,
    grader: Grader | None = None,
    express: Express | None = None,
    patient: bool = False,
    say: Callable[[str], None] = lambda text: None,
) -> Teacher | None:
    """Return the teacher of a kind, or None for "none".

    `express` is the harness's: it writes a fix as the student's action. `endpoint` is that of
    the kinds "openai" and "llama"; whoever starts a server for it also ends it. An endpoint
    that is `patient`ly opened may be away: a run goes on with what it has.

    Raises:
        TeacherError: an unknown kind, an unreadable recording, an endpoint that is missing
            or does not answer, no `express` where an answer must be put into the student's form.
    """
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
    if kind not in LIVE:
        raise TeacherError(f"no teacher of kind {kind!r}; there are {', '.join(KINDS)}")
    if endpoint is None:
        raise TeacherError(f"the {kind} teacher needs an endpoint: give its URL")
    told = introduce(endpoint, patient=patient, say=say)
    return LiveTeacher(
        endpoint,
        told.model,
        grader=grader,
        express=express,
        budget=budget,
        price=price,
        concurrency=concurrency,
        parameters=told.parameters,
        answer_tokens=answer_tokens,
        cache=cache,
        identity={"model": told.model, "sha256": told.gguf_sha256},
    )


def introduce(
    endpoint: Endpoint, *, patient: bool = False, say: Callable[[str], None] = lambda text: None
) -> About:
    """Return what an endpoint tells of its model, and ask for that model from now on.

    A model that was named need not be listed, nor the endpoint have a list; `patient`, it need
    not even be there.

    Raises:
        TeacherError: it cannot be reached or refuses the key, or lists several models and none
            was named.
    """
    named = endpoint.model if endpoint.model != "default" else ""
    try:
        told = about(endpoint)
    except EndpointError as error:
        no_list = error.status in (404, 405, 501)
        if not named or not (no_list or patient):
            raise
        say(f"the teacher's endpoint does not list its models ({error})")
        told = About("", "", "", None)
    if not named and not told.id:
        raise TeacherError(
            f"{endpoint.url} offers several models: name one with teacher.model (or --model)"
        )
    if not named:
        endpoint.model = told.id
    return About(named or told.model, told.server, told.gguf_sha256, told.parameters, told.id)

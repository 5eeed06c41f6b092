"""Makes the teacher that a climb's settings name, and ends what was started for it.

It must not know what the teacher is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from toprope.climb import config as settings
from toprope.grading import Grader
from toprope.harness import lines
from toprope.policy.catalog import find_model
from toprope.policy.fetch import fetch
from toprope.sandbox import Sandbox
from toprope.teacher import Budget, Price, Teacher, open_teacher
from toprope.teacher.cache import AttemptCache
from toprope.teacher.openai import Endpoint
from toprope.teacher.pace import Pace
from toprope.teacher.protocol import Express
from toprope.teacher.question import MOST_PROMPT
from toprope.teacher.server import ServerSettings, TeacherServer

Say = Callable[[str], None]
LIVE = ("openai", "llama")


def make_teacher(
    section: settings.Teacher,
    sandbox: Sandbox,
    held: ExitStack,
    *,
    resumed: bool,
    say: Say,
    express: Express = lines.express,
    talk: int = 0,
) -> Teacher | None:
    """Return the teacher, or None where nobody teaches; what it needs ends with `held`.

    `express` writes what it verified as an action of the student's; `talk` is the most tokens that
    a talk over turns may have, for which a server of ours makes room.

    Raises:
        TeacherError: it cannot be opened. A climb that is `resumed` goes on without an endpoint
            that is away.
    """
    cache = None
    if section.kind in LIVE and section.cache:
        cache = AttemptCache(say=say)
        held.callback(cache.close)
    return open_teacher(
        section.kind,
        recording=section.recording,
        endpoint=_endpoint(section, held, say, talk) if section.kind in LIVE else None,
        budget=budget(section),
        price=price(section),
        answer_tokens=section.answer_tokens,
        concurrency=section.concurrency,
        cache=cache,
        grader=Grader(sandbox),
        express=express,
        patient=resumed,
        say=say,
    )


def budget(section: settings.Teacher) -> Budget:
    """Return the hard limits; of calls and money only where they are made and paid."""
    live = section.kind in LIVE
    return Budget(
        calls=section.max_calls or None if live else None,
        tokens=section.max_tokens or None,
        usd=section.max_usd or None if live and price(section).known else None,
    )


def price(section: settings.Teacher) -> Price:
    """Return the price of a million tokens."""
    return Price(section.price_per_million_input, section.price_per_million_output)


def open_endpoint(
    section: settings.Teacher, say: Say, *, url: str = "", model: str = ""
) -> Endpoint:
    """Return the endpoint as the settings say it is asked; `url` and `model` before theirs."""
    return Endpoint(
        url or section.endpoint,
        model=model or section.model or "default",
        connect_s=section.connect_s,
        read_s=section.read_s,
        total_s=section.total_s,
        tries=section.tries,
        back_off_s=section.back_off_s,
        key_variable=section.key_variable,
        pace=Pace(section.requests_per_minute, section.tokens_per_minute),
        say=say,
    )


def _endpoint(section: settings.Teacher, held: ExitStack, say: Say, talk: int) -> Endpoint:
    if section.kind == "openai":
        endpoint = open_endpoint(section, say)
    else:
        server = TeacherServer(
            model_file(section.model, say),
            ServerSettings(
                threads=section.threads,
                slots=section.concurrency,
                context_per_slot=max(MOST_PROMPT, talk) + section.answer_tokens,
            ),
        )
        url = held.enter_context(server).url
        # Its list names the file, and so tells one model's cached attempts from another's.
        endpoint = open_endpoint(section, say, url=url, model="default")
    held.callback(endpoint.close)
    return endpoint


def model_file(model: str, say: Say) -> Path:
    """Return a GGUF file, or the one that a name from `models list` stands for."""
    path = Path(model).expanduser()
    if path.exists() or model.endswith(".gguf"):
        return path
    return fetch(find_model(model), say=say).path

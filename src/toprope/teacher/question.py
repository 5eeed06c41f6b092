"""How a task's attempts are asked for: what is said, how each is drawn, what came back.

The first attempt is greedy, later ones are drawn with seeds of their own. It must not know
budgets, or what an answer is worth.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from toprope.tasks import to_row
from toprope.teacher.openai import Endpoint, EndpointError, Reply, Sampling, most_tokens
from toprope.teacher.prompt import STOP, Messages, messages
from toprope.teacher.protocol import Price, Spend
from toprope.teacher.rows import Answer
from toprope.terms import Task

ANSWER_TOKENS = 400
MOST_PROMPT = 1136  # tokens of the longest question that a server of ours makes room for
GREEDY = Sampling(temperature=0.0, top_p=1.0, seed=0, max_tokens=ANSWER_TOKENS, stop=STOP)
VARIED = Sampling(temperature=0.8, top_p=0.95, seed=0, max_tokens=ANSWER_TOKENS, stop=STOP)
# What a row of a task holds besides the question and how an answer is graded.
_BESIDE = ("instance_id", "split", "tier", "solution", "metadata")


def sampling_of(task_id: str, index: int, max_tokens: int = ANSWER_TOKENS) -> Sampling:
    """The settings of an attempt: the first is greedy, later ones are drawn with own seeds."""
    if index == 0:
        return replace(GREEDY, max_tokens=max_tokens)
    digest = hashlib.sha256(f"{task_id}:{index}".encode()).digest()
    return replace(VARIED, max_tokens=max_tokens, seed=int.from_bytes(digest[:4], "big") >> 1)


def ask(endpoint: Endpoint, talk: Messages, sampling: Sampling) -> Answer:
    """Ask the endpoint for an answer that is to be recorded, so with its token counts.

    Raises:
        EndpointError: it cannot be had, or the endpoint tells no counts.
    """
    began = time.monotonic()
    reply = endpoint.chat(talk, sampling)
    if not reply.counted:
        raise EndpointError(
            f"{endpoint.url} tells no token counts (usage), which a recording needs; "
            "turn them on at the server",
            refused=True,
        )
    return answer_of(reply, talk, sampling, time.monotonic() - began)


def answer_of(reply: Reply, talk: Messages, sampling: Sampling, seconds: float) -> Answer:
    """The reply as an answer; without counts they are the most that they can be."""
    prompt, completion = reply.prompt_tokens, reply.completion_tokens
    if not reply.counted:
        prompt, completion = most_tokens(talk), sampling.max_tokens
    return Answer(
        messages=talk,
        text=reply.text,
        finish=reply.finish,
        prompt_tokens=prompt,
        completion_tokens=completion,
        sampling=sampling.settings(),
        seconds=round(seconds, 3),
        server=reply.server,
    )


def most_cost(talk: Messages, sampling: Sampling, price: Price) -> Spend:
    """The most that one try of a question can cost."""
    prompt = most_tokens(talk)
    return Spend(1, prompt + sampling.max_tokens, price.of(prompt, sampling.max_tokens))


def task_hash(task: Task) -> str:
    """The SHA-256 of what is asked and how it is graded, whatever the task is called."""
    row = {name: value for name, value in to_row(task).items() if name not in _BESIDE}
    return _hash(row)


def cache_key(task: Task, index: int, sampling: Sampling, teacher: Mapping[str, Any]) -> str:
    """The content an attempt is cached under: the task, the question's words, teacher, number.

    The seed is left out: the number stands for it, so that a task asked for under another
    name is the same task.
    """
    settings = {name: value for name, value in sampling.settings().items() if name != "seed"}
    return _hash([task_hash(task), messages(task), dict(teacher), settings, index])


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()

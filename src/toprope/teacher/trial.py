"""One call to an endpoint, and what it showed: key, settings, counts, price, and dialect.

It spends one question about an invented function, and must not know tasksets or a climb.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from toprope.teacher.choose import introduce
from toprope.teacher.openai import Endpoint, EndpointError, Reply
from toprope.teacher.prompt import NoAnswer, extract, messages
from toprope.teacher.protocol import Price
from toprope.teacher.question import VARIED, answer_of, most_cost
from toprope.terms import Focus, Source, Split, Task

_BUGGY = """def last(items):
    \"\"\"The last of the items.\"\"\"
    return items[0]"""
_FIXES = ("items[-1]", "items[len(items) - 1]", "items[len(items)-1]")


@dataclass(frozen=True, slots=True)
class Trial:
    """What one call showed. `usd` is None where no price is known, `reply` where none came."""

    model: str
    key_sent: bool
    error: str = ""
    seconds: float = 0.0
    reply: Reply | None = None
    refused_settings: tuple[str, ...] = ()
    limit_name: str = ""
    usd: float | None = None
    most_usd: float | None = None
    readable: str = ""  # why the answer cannot be read; "" if it can
    right: bool | None = None  # whether the answer looks like the fix; None if it is not readable


def invented_task() -> Task:
    """Return the task that an endpoint is tried on; it is of no taskset."""
    return Task(
        id="trial", split=Split.TRAIN, tier=None,
        statement="last([1, 2, 3]) returns 1, expected 3",
        files={"last.py": _BUGGY + "\n"}, focus=Focus("last.py", 1, 3), editable=("last.py",),
        entry="last.py:last", calls=(), fail_to_pass=(), pass_to_pass=(), solution={},
        source=Source("toprope", "", "last.py", 1, "Apache-2.0", "last", "none"),
    )  # fmt: skip


def try_endpoint(endpoint: Endpoint, *, price: Price, max_tokens: int) -> Trial:
    """Ask once and return what was seen; a failure is told in `error`, never raised."""
    task = invented_task()
    talk = messages(task)
    sampling = VARIED.with_logprobs(max_tokens)
    key_sent = bool(endpoint.secret)
    most = most_cost(talk, sampling, price).usd if price.known else None
    try:
        told = introduce(endpoint, patient=True)
        began = time.monotonic()
        reply = endpoint.chat(talk, sampling)
    except EndpointError as error:
        return Trial(endpoint.model, key_sent, error=str(error), most_usd=most)
    seconds = time.monotonic() - began
    answer = answer_of(reply, talk, sampling, seconds)
    why, right = "", None
    try:
        code = extract(reply.text, task)["last.py"]
        right = any(fix in code for fix in _FIXES)
    except NoAnswer as error:
        why = str(error)
    return Trial(
        model=told.model,
        key_sent=key_sent,
        seconds=seconds,
        reply=reply,
        refused_settings=tuple(endpoint.refusals.dropped),
        limit_name=endpoint.refusals.limit,
        usd=price.of(answer.prompt_tokens, answer.completion_tokens) if price.known else None,
        most_usd=most,
        readable=why,
        right=right,
    )


def told(trial: Trial) -> list[str]:
    """Return a trial in lines for people."""
    key = "a key was sent" if trial.key_sent else "no key was sent"
    if trial.reply is None:
        return [f"no answer ({key}): {trial.error}"]
    reply, refused = trial.reply, trial.refused_settings
    lines = [
        f"model: {trial.model}",
        f"authentication: works ({key})",
        f"answered in: {trial.seconds:.1f} s",
        f"temperature: {'refused; asked without' if 'temperature' in refused else 'taken'}",
        f"limit of an answer: taken as {trial.limit_name}",
    ]
    others = [name for name in refused if name not in ("temperature", "logprobs")]
    if others:
        lines.append(f"also refused, asked without: {', '.join(others)}")
    lines.append(f"log-probabilities: {'given' if reply.logprobs else 'not offered'}")
    if reply.counted:
        counts = f"{reply.prompt_tokens} prompt, {reply.completion_tokens} completion"
        lines.append(f"token counts: {counts}")
    else:
        lines.append("token counts: none; budgets count the most that a call can be")
    hidden = reply.reasoning_tokens
    lines.append(
        "hidden reasoning: " + ("not told" if hidden is None else f"{hidden} tokens, counted")
    )
    if trial.usd is None:
        lines.append("price: none is known; set teacher.price_per_million_input and _output")
    else:
        lines.append(f"price: ${trial.usd:.6f} for this call, at most ${trial.most_usd:.6f}")
    return [*lines, f"dialect: {_dialect(trial, reply)}"]


def _dialect(trial: Trial, reply: Reply) -> str:
    if trial.readable and reply.finish == "length":
        return (
            f"not readable ({trial.readable}): it was cut at its limit; raise "
            "teacher.answer_tokens, hidden reasoning counts against it"
        )
    if trial.readable:
        return f"not readable ({trial.readable}); this model cannot teach as it is asked"
    return "the function as code, readable" + ("" if trial.right else "; its fix looks wrong")

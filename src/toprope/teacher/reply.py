"""Reads what a chat endpoint sent: text, token counts, and whatever it tells beyond.

What it sends is not believed: odd counts count as none, text is made fit to be stored. It
must not know how the reply was fetched.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from toprope.teacher.retry import Lost
from toprope.teacher.wire import Received

_MOST_COUNT = 10**9
Hide = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply's raw text, the endpoint's own token counts, and why it ended.

    Completion tokens include the hidden ones of reasoning (`reasoning_tokens`, None if not
    told). Without counts (`counted` False) both are 0. `logprobs` holds the natural
    log-probability of each token of the text, None where the endpoint tells none.
    """

    text: str
    prompt_tokens: int
    completion_tokens: int
    finish: str
    server: str
    counted: bool = True
    reasoning_tokens: int | None = None
    logprobs: tuple[float, ...] | None = None


def read_reply(answer: Received, hide: Hide) -> Reply:
    """Return the reply in a chat completion.

    Raises:
        Lost: it is not one. It may have been billed all the same.
    """
    body = json_object(answer.body)
    try:
        choice = body["choices"][0]
        text = _content(choice["message"].get("content"))
        finish = choice.get("finish_reason")
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        why = f"JSON of another shape ({type(error).__name__}: {str(error)[:80]})"
        raise Lost(hide(why), billed=True) from None
    counts = _counts(body.get("usage"))
    return Reply(
        text=hide(_storable(text)),
        prompt_tokens=counts[0] if counts else 0,
        completion_tokens=counts[1] if counts else 0,
        finish=hide(_storable(str(finish or "stop")))[:40],
        server=hide(_storable(str(body.get("system_fingerprint") or "")))[:80],
        counted=counts is not None,
        reasoning_tokens=_reasoning(body.get("usage")),
        logprobs=_logprobs(choice.get("logprobs")),
    )


def json_object(data: bytes) -> dict[str, Any]:
    """The JSON object that a body holds; raises `Lost` if it holds none."""
    try:
        body = json.loads(data)
    except (ValueError, RecursionError):
        raise Lost(f"a body that is not JSON ({len(data)} bytes)", billed=True) from None
    if not isinstance(body, dict):
        raise Lost("a body that is not a JSON object", billed=True)
    return body


def _content(content: Any) -> str:
    """The text of a message; "" where all was spent on reasoning, or the model declined."""
    if content is None:
        return ""
    if isinstance(content, list):
        return "".join(str(part["text"]) for part in content if part.get("type") == "text")
    if not isinstance(content, str):
        raise TypeError("content is not text")
    return content


def _storable(text: str) -> str:
    """The text with halves of surrogate pairs replaced: no file or database takes them."""
    return text.encode("utf-8", "replace").decode()


def _count(value: Any) -> int | None:
    fits = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST_COUNT
    return int(value) if fits else None


def _counts(usage: Any) -> tuple[int, int] | None:
    """Prompt and completion tokens; some count hidden reasoning in the total alone."""
    if not isinstance(usage, dict):
        return None
    prompt, completion = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
    if prompt is None or completion is None:
        return None
    total = _count(usage.get("total_tokens")) or 0
    return prompt, max(completion, total - prompt)


def _reasoning(usage: Any) -> int | None:
    details = usage.get("completion_tokens_details") if isinstance(usage, dict) else None
    return _count(details.get("reasoning_tokens")) if isinstance(details, dict) else None


def _logprobs(told: Any) -> tuple[float, ...] | None:
    rows = told.get("content") if isinstance(told, dict) else None
    if not isinstance(rows, list) or not rows:
        return None
    try:
        values = tuple(float(row["logprob"]) for row in rows)
    except (KeyError, TypeError, ValueError):
        return None
    return values if all(math.isfinite(value) for value in values) else None

"""What a vLLM server's answers must look like to be believed: JSON in, ids and numbers out.

An answer that is not exactly what was asked for is a `WrongAnswer`, never sampled from: it
names another model, lacks ids or log-probabilities, or holds a number that cannot be one.
Knows the shape of `/v1/completions`, not how it is reached.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from toprope.terms import InfraError

_IMPOSSIBLE = -9000.0  # vLLM writes -inf as -9999, which nothing that was sampled can have
_ROUNDING = 1e-3  # a log-probability may come out this far above 0


class SamplerError(InfraError):
    """The server that samples for the student failed us; nothing of the run is lost."""


class WrongAnswer(SamplerError):
    """An answer that is not what was asked for. The same question may be answered rightly."""


@dataclass(frozen=True, slots=True)
class Used:
    """What an answer took: prompt tokens, how many of these lay in the server's cache, drawn."""

    prompt: int
    cached: int
    drawn: int


@dataclass(frozen=True, slots=True)
class Drawn:
    """Sampled ids, their raw log-probabilities, and why the server ended: "stop" or "length"."""

    ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    finish: str
    used: Used


@dataclass(frozen=True, slots=True)
class Scored:
    """Log-probabilities and ranks (1 is the likeliest) of a prompt's tokens but the first."""

    logprobs: tuple[float, ...]
    ranks: tuple[int, ...]
    used: Used


def read_drawn(
    body: Any, *, model: str, prompt_ids: Sequence[int], most: int, vocabulary: int
) -> Drawn:
    """Return what was drawn after a prompt.

    Raises:
        WrongAnswer: anything about it is not as asked.
    """
    choice = _choice(body, model, prompt_ids)
    ids, finish = choice.get("token_ids"), choice.get("finish_reason")
    if not isinstance(ids, list) or not ids:
        raise WrongAnswer("the answer has no token_ids")
    if not all(isinstance(i, int) and 0 <= i < vocabulary for i in ids):
        raise WrongAnswer(f"token_ids are not ids of a vocabulary of {vocabulary}")
    told = choice.get("logprobs")
    logprobs = told.get("token_logprobs") if isinstance(told, dict) else None
    if not isinstance(logprobs, list) or len(logprobs) != len(ids):
        raise WrongAnswer("the answer has not one log-probability for each token")
    if finish not in ("stop", "length"):
        raise WrongAnswer(f"the answer ended by {finish!r}")
    if len(ids) > most or (finish == "length" and len(ids) < most):
        raise WrongAnswer(f"the answer has {len(ids)} tokens by {finish!r}, asked were {most}")
    numbers = tuple(_logprob(each) for each in logprobs)
    if min(numbers) < _IMPOSSIBLE:
        raise WrongAnswer("a sampled token has probability 0")
    return Drawn(tuple(ids), numbers, finish, _used(body, prompt_ids, len(ids)))


def read_scored(body: Any, *, model: str, prompt_ids: Sequence[int]) -> Scored:
    """Return the log-probabilities of a prompt's own tokens.

    Raises:
        WrongAnswer: anything about it is not as asked.
    """
    told = _choice(body, model, prompt_ids).get("prompt_logprobs")
    if not isinstance(told, list) or len(told) != len(prompt_ids):
        raise WrongAnswer("the answer has not one log-probability for each token of the prompt")
    try:
        entries = [each[str(i)] for each, i in zip(told[1:], prompt_ids[1:], strict=True)]
        ranks = tuple(int(entry["rank"]) for entry in entries)
        logprobs = tuple(_logprob(entry["logprob"]) for entry in entries)
    except (KeyError, TypeError, ValueError) as error:
        raise WrongAnswer(f"prompt_logprobs of another shape ({error!r})") from None
    return Scored(logprobs, ranks, _used(body, prompt_ids, 1))


def _choice(body: Any, model: str, prompt_ids: Sequence[int]) -> dict[str, Any]:
    if not isinstance(body, dict) or not isinstance(body.get("choices"), list):
        raise WrongAnswer("the answer is not a completion")
    if body.get("model") != model:
        raise WrongAnswer(f"asked was {model}, {str(body.get('model'))[:80]!r} answered")
    if len(body["choices"]) != 1 or not isinstance(body["choices"][0], dict):
        raise WrongAnswer(f"asked was one answer, {len(body['choices'])} came")
    choice: dict[str, Any] = body["choices"][0]
    if choice.get("prompt_token_ids") != list(prompt_ids):
        raise WrongAnswer("the prompt that was answered is not the one that was asked")
    return choice


def _logprob(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise WrongAnswer("a log-probability is missing")
    if not math.isfinite(value) or value > _ROUNDING:
        raise WrongAnswer(f"{value} is no log-probability")
    return min(float(value), 0.0)


def _used(body: dict[str, Any], prompt_ids: Sequence[int], drawn: int) -> Used:
    usage = body.get("usage")
    details = usage.get("prompt_tokens_details") if isinstance(usage, dict) else None
    cached = details.get("cached_tokens") if isinstance(details, dict) else None
    return Used(len(prompt_ids), cached if isinstance(cached, int) else 0, drawn)

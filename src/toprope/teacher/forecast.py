"""What asking a teacher will cost, before anything is asked: calls, tokens, money, hours.

A range whose upper end is a limit or the most that can be asked, never a guess; its lower end
is the least that the wanted demonstrations can take. Pure; it must not know who asks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from toprope.teacher.prompt import focus_lines, messages
from toprope.teacher.protocol import Budget, Price
from toprope.teacher.question import most_cost, sampling_of
from toprope.terms import Task

BYTES_A_TOKEN = 4.0  # of English and code in today's tokenizers; the upper end takes 1
SECONDS_A_CALL = (1.0, 30.0)


@dataclass(frozen=True, slots=True)
class Range:
    """From the least to the most."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Forecast:
    """What may be spent. `usd` is None where no price is known."""

    calls: Range
    tokens: Range
    usd: Range | None
    hours: Range


def forecast(
    tasks: Sequence[Task],
    *,
    wanted: int,
    helps: bool = False,
    most_attempts: int,
    budget: Budget,
    price: Price,
    answer_tokens: int,
    concurrency: int = 1,
    requests_per_minute: float = 0,
) -> Forecast:
    """Return what up to `wanted` demonstrations of `tasks` can take, within the budget.

    One attempt each at the least, `most_attempts` at each task at the most, as also where the
    teacher `helps` with hints and prefixes, of which none need be asked for. Hours assume 1 to
    30 seconds a call, `concurrency` of them at once at best and one at worst.
    """
    if not tasks or not (wanted or helps):
        nothing = Range(0, 0)
        return Forecast(nothing, nothing, nothing if price.known else None, nothing)
    worst = [most_cost(messages(t), sampling_of(t.id, 0, answer_tokens), price) for t in tasks]
    prompt = fmean(sum(len(m["content"]) for m in messages(t)) for t in tasks) / BYTES_A_TOKEN
    answer = fmean(len("\n".join(focus_lines(t))) for t in tasks) / BYTES_A_TOKEN
    least = min(wanted, len(tasks))
    calls = _within(least, most_attempts * len(tasks), budget.calls)
    tokens = _within(
        calls.low * (prompt + min(answer, answer_tokens)),
        calls.high * max(cost.tokens for cost in worst),
        budget.tokens,
    )
    usd = None
    if price.known:
        usd = _within(
            calls.low * price.of(round(prompt), round(min(answer, answer_tokens))),
            calls.high * max(cost.usd for cost in worst),
            budget.usd,
        )
    slowest = 60 / requests_per_minute if requests_per_minute else 0.0
    quick, slow = SECONDS_A_CALL
    hours = Range(
        calls.low * max(quick / concurrency, slowest) / 3600,
        calls.high * max(slow, slowest) / 3600,
    )
    return Forecast(calls, tokens, usd, hours)


def _within(low: float, high: float, limit: float | None) -> Range:
    high = high if limit is None else min(high, limit)
    return Range(min(low, high), high)

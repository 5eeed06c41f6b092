"""What a climb is about to spend on a teacher, and what of it leaves the machine, in words.

It asks nobody and spends nothing.
"""

from __future__ import annotations

from pathlib import Path

from toprope.climb.config import ClimbConfig
from toprope.climb.episodes.journal import TeacherAnswers
from toprope.climb.help.teacher import budget, price
from toprope.climb.pool.reserve import held_back
from toprope.climb.pool.seedpool import divided
from toprope.ladder.attempts import ASKING, ATTEMPTS
from toprope.ledger.journal import Journal
from toprope.ledger.store import JOURNAL_NAME
from toprope.tasks import Taskset, load_taskset
from toprope.teacher.account import Account
from toprope.teacher.forecast import Forecast, Range, forecast
from toprope.teacher.protocol import Budget, Spend
from toprope.teacher.secret import Secret
from toprope.terms import Split, Task, TopropeError


class NotConfirmed(TopropeError):
    """Nobody agreed to what a teacher may cost."""


def refuse_unasked() -> NotConfirmed:
    """Return the error of a climb that would spend where nobody can be asked."""
    return NotConfirmed(
        "this climb asks a teacher that may cost money, and there is nobody here to agree: "
        "read the estimate above and give --yes"
    )


def before_spending(config: ClimbConfig, run: Path) -> list[str]:
    """Return what to read before the climb in `run` begins or goes on; empty if nothing costs."""
    if config.teacher.kind != "openai":
        return []
    section, taskset = config.teacher, load_taskset(config.taskset)
    helps = bool({int(rung) for rung in ASKING} & {*config.ladder.rungs})
    asked = _asked_about(taskset, config, helps)
    limits = budget(section)
    told = forecast(
        asked,
        wanted=len(asked) if config.seeding.forced_share else config.seeding.demonstrations,
        helps=helps,
        most_attempts=ATTEMPTS,
        budget=limits,
        price=price(section),
        answer_tokens=section.answer_tokens,
        concurrency=section.concurrency,
        requests_per_minute=section.requests_per_minute,
    )
    key = f"the key in ${section.key_variable}"
    key += " is sent" if Secret.of(section.key_variable) else " is not set, so none is sent"
    lines = [
        f"teacher: {section.model or 'the model listed'} at {section.endpoint}; {key}",
        f"leaves this machine: the function in question and the sentence that says what goes "
        f"wrong, of at most {len(asked)} tasks of taskset {taskset.name}; no other file",
        f"estimate: {_estimate(told)}",
        f"asked for: {_purposes(config, helps)}",
        f"never more than {_limits(limits)}; reaching one ends the help and not the climb",
    ]
    if not price(section).known:
        lines.append(
            "money: no price is known; set teacher.price_per_million_input and _output to have "
            "it estimated, and limited by teacher.max_usd"
        )
    if (spent := _spent(run)) is not None:
        lines.append(f"spent by this run so far: {_spend(spent)}")
    return lines


def _asked_about(taskset: Taskset, config: ClimbConfig, helps: bool) -> list[Task]:
    """Return as many tasks as the teacher can be asked about.

    Hints and prefixes can be of any task of the pool, for one that was live may turn cold.
    """
    pool, aside = divided(taskset.split(Split.TRAIN), config)
    if config.seeding.on == "set_aside":
        return [*aside, *pool] if helps else aside
    if helps or config.seeding.on == "random" or config.seeding.forced_share:
        return pool
    waiting = {task.id for task in held_back(taskset, config)}
    tested = [task for task in pool if task.id not in waiting][: config.cold_start.tasks]
    asked = tested[: round(len(tested) * (1 - config.cold_start.never_seeded))]
    return [t for t in pool if t.id in waiting] + asked if config.seeding.later else asked


def _purposes(config: ClimbConfig, helps: bool) -> str:
    parts = []
    if config.seeding.demonstrations:
        later = f", {config.seeding.later} of them later" if config.seeding.later else ""
        parts.append(f"up to {config.seeding.demonstrations} demonstrations{later}")
    if config.seeding.forced_share:
        parts.append("demonstrations of the live tasks solved least, as often as the fork asks")
    if helps:
        parts.append(
            "hints, prefixes and fixes (rungs 3 to 5) for whatever is cold, within the limits"
        )
    parts.append(f"at most {ATTEMPTS} attempts at a task, each paid once")
    return "; ".join(parts)


def _estimate(told: Forecast) -> str:
    parts = [f"{_span(told.calls)} calls", f"{_span(told.tokens)} tokens"]
    if told.usd is not None:
        parts.append(f"${told.usd.low:.2f} to ${told.usd.high:.2f}")
    parts.append(f"{told.hours.low:.1f} to {told.hours.high:.1f} hours at 1 to 30 s a call")
    return ", ".join(parts)


def _span(of: Range) -> str:
    return f"{of.low:,.0f} to {of.high:,.0f}"


def _limits(limits: Budget) -> str:
    parts = [f"{limits.calls:,} calls"] if limits.calls else []
    parts += [f"{limits.tokens:,} tokens"] if limits.tokens else []
    parts += [f"${limits.usd:.2f}"] if limits.usd else []
    return ", ".join(parts) or "what is asked: no limit is set"


def _spend(spent: Spend) -> str:
    return f"{spent.calls:,} calls, {spent.tokens:,} tokens, ${spent.usd:.2f}"


def _spent(run: Path) -> Spend | None:
    """Return what earlier sittings of a run spent, at worst; None of a run that is new."""
    if not (run / JOURNAL_NAME).exists():
        return None
    journal = Journal(run / JOURNAL_NAME)
    try:
        account = Account()
        account.keep_in(TeacherAnswers(journal))
        return account.purse.spent
    finally:
        journal.close()

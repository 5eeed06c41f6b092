"""What the cache of attempts holds, in lines for people. It must not know how it is kept."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from toprope.teacher.cache import Cached
from toprope.terms import Outcome


def table(attempts: Sequence[Cached], path: Path) -> list[str]:
    """Return a line for each teacher: tasks, attempts, verified, tokens, paid and saved.

    Money is what attempts cost for which a price was known; saved is that times the number of
    runs that were spared them.
    """
    if not attempts:
        return [f"no cached attempts in {path}"]
    lines = [f"{path}"]
    for name in sorted({attempt.teacher for attempt in attempts}):
        mine = [attempt for attempt in attempts if attempt.teacher == name]
        verified = sum(a.outcome == Outcome.PASSED.value for a in mine)
        tokens = sum(a.prompt_tokens + a.completion_tokens for a in mine)
        priced = [a for a in mine if a.cost_usd is not None]
        paid = sum(a.cost_usd or 0.0 for a in priced)
        saved = sum((a.cost_usd or 0.0) * a.reused for a in priced)
        money = f"${paid:.4f} paid, ${saved:.4f} saved" if priced else "no price was known"
        lines.append(
            f"{name}: {len({a.task_hash for a in mine})} tasks, {len(mine)} attempts, "
            f"{verified} verified, {tokens:,} tokens, reused {sum(a.reused for a in mine)} times; "
            f"{money}"
        )
    return lines

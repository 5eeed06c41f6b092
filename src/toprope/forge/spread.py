"""Picks a few of a function's bugs: of different kinds and lines, and few that are guesswork.

It decides the difficulty mix of a taskset; it must not know splits.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

from toprope.forge.bugs import Bug

# Operators that reach nearly every function; the others go first, for balance.
_COMMON = frozenset({"variable", "term", "arithmetic", "constant", "returned"})
# What was taken out of a formula, or which number stood there, one failing call rarely tells.
_GUESSWORK = frozenset({"term", "arithmetic", "constant"})
_MOST_OF_A_KIND = 2


def spread(bugs: Sequence[Bug], count: int, seed: str) -> list[Bug]:
    """Return at most `count` bugs: of different operators and lines first.

    At most one is a mere crash, at most one is guesswork, and two share an operator.
    """
    rng = random.Random(f"spread:{seed}")
    left = rng.sample(sorted(bugs, key=lambda bug: bug.edit), len(bugs))
    operators: Counter[str] = Counter()
    lines: Counter[int] = Counter()
    picked: list[Bug] = []
    while left and len(picked) < count:
        best = min(
            left,
            key=lambda b: (
                b.crash,
                operators[b.edit.operator],
                b.edit.operator in _COMMON,
                lines[b.edit.line],
            ),
        )
        left.remove(best)
        if _is_surplus(best, picked, operators):
            continue
        picked.append(best)
        operators[best.edit.operator] += 1
        lines[best.edit.line] += 1
    return picked


def _is_surplus(bug: Bug, picked: Sequence[Bug], operators: Counter[str]) -> bool:
    if operators[bug.edit.operator] >= _MOST_OF_A_KIND:
        return True
    if bug.crash and any(other.crash for other in picked):
        return True
    guesses = sum(operators[name] for name in _GUESSWORK)
    return bug.edit.operator in _GUESSWORK and guesses > 0

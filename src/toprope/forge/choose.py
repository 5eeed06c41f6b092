"""Chooses the tests of a function from the calls that were explored: bugs are not looked at.

Calls are first parted by a hash of their arguments into those that may be shown and those
that stay hidden, then picked for variety: new lines run, new outcomes, short arguments.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from toprope.forge.explore import Tried

HIDDEN = 16
MORE_HIDDEN = 24
VISIBLE = 12
LEAST_HIDDEN = 8
LEAST_VISIBLE = 4
_MOST_RAISING = 0.25


@dataclass(frozen=True)
class Tests:
    """The calls that grade (`hidden`) and those that a statement may quote (`visible`)."""

    hidden: tuple[Tried, ...]
    visible: tuple[Tried, ...]


def choose(tried: Sequence[Tried], hidden: int = HIDDEN,
           caught: Mapping[str, frozenset[int]] | None = None) -> Tests | None:  # fmt: skip
    """Return varied, disjoint hidden and visible calls, or None if there are too few.

    `caught` may say which scouts (mutants that will never be tasks) each call's arguments
    tell from the original; then calls are picked for that too.
    """
    shown = [call for call in tried if is_shown(call)]
    kept = [call for call in tried if not is_shown(call)]
    tests = Tests(_pick(kept, hidden, 0.01, caught or {}), _pick(shown, VISIBLE, 0.05, {}))
    if len(tests.hidden) < LEAST_HIDDEN or len(tests.visible) < LEAST_VISIBLE:
        return None
    outcomes = {call.outcome for call in tests.hidden}
    plain = [call for call in tests.hidden if not call.raises]
    if len(outcomes) < 2 or len(plain) < 0.6 * len(tests.hidden):
        return None
    return tests


def is_shown(call: Tried) -> bool:
    """Tell whether a call may be quoted in a statement; the others stay hidden."""
    return hashlib.sha256(call.args.encode()).digest()[0] % 3 == 0


def _pick(calls: Sequence[Tried], count: int, length_cost: float,
          caught: Mapping[str, frozenset[int]]) -> tuple[Tried, ...]:  # fmt: skip
    """Greedy: each pick is the call that adds most to what the earlier ones show."""
    paths: set[object] = set()
    lines: set[object] = set()
    outcomes: set[str] = set()
    scouts: set[int] = set()
    picked: list[Tried] = []
    left = list(calls)
    raising = 0

    def worth(call: Tried) -> float:
        score = 8.0 * len(call.lines - lines) + 4.0 * (call.lines not in paths)
        score += 5.0 * len(caught.get(call.args, frozenset()) - scouts)
        score += 3.0 * (call.outcome not in outcomes) + 5.0 * call.recorded
        score += 0.5 * (call.outcome not in {"None", "[]", "''", "0", "False", "True"})
        score += 0.05 * min(len(call.args), 24)
        return score - length_cost * len(call.args) - 1.0 * call.raises

    while left and len(picked) < count:
        best = max(left, key=worth)
        left.remove(best)
        if best.raises:
            if raising >= _MOST_RAISING * count:
                continue
            raising += 1
        picked.append(best)
        paths.add(best.lines)
        lines.update(best.lines)
        outcomes.add(best.outcome)
        scouts.update(caught.get(best.args, ()))
    return tuple(picked)

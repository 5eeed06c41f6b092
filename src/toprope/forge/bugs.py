"""Puts bugs into a function and keeps those that its tests catch and a statement can show.

The tests were chosen before; here they are only measured: how many of a function's mutants
they kill, and which mutants make good tasks.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from toprope.forge.choose import Tests
from toprope.forge.explore import Tried
from toprope.forge.extract import Extract
from toprope.forge.operators import Edit, edits
from toprope.forge.statement import statement
from toprope.forge.trial import outcomes
from toprope.grading import comparable
from toprope.sandbox.protocol import Sandbox

MOST_MUTANTS = 70
LEAST_MUTANTS = 11
LEAST_KILL_RATE = 0.8
# A linter finds unbound names before any test does; endless recursion is slow to grade.
_ADDRESS = re.compile(r" at 0x[0-9a-f]{6,}")  # another one in every process
_UNFIT = ("raises RecursionError", "raises UnboundLocalError", "raises NameError")


@dataclass(frozen=True)
class Bug:
    """One mutant that is fit to be a task, with what its tests say about it."""

    edit: Edit
    text: str
    statement: str
    failing: tuple[int, ...]
    crash: bool
    kill_rate: float
    mutants: int

    @property
    def digest(self) -> str:
        """A short name that is stable over builds."""
        return digest(self.edit)


@dataclass(frozen=True)
class Measured:
    """What the mutants of a function say: the share its hidden calls kill, and the fit bugs."""

    kill_rate: float
    mutants: int
    bugs: tuple[Bug, ...]


def measure(sandbox: Sandbox, extract: Extract, tests: Tests, scouted: bool = False) -> Measured:
    """Run mutants of a function, at most `MOST_MUTANTS` of them, on all its tests.

    If the tests were chosen with scouts, scouts count as mutants but never become bugs.
    """
    mutants = sample(edits(extract.text), extract.key)
    calls = [call.args for call in (*tests.hidden, *tests.visible)]
    rows = outcomes(sandbox, extract.entry, [extract.file_with(text) for _, text in mutants], calls)
    cut = len(tests.hidden)
    hidden = [call.outcome for call in tests.hidden]
    failing = [_differing(hidden, row[:cut]) for row in rows]
    killed = sum(bool(places) for places in failing)
    bugs = []
    for (edit, text), row, places in zip(mutants, rows, failing, strict=True):
        others = len(mutants) - 1
        rate = (killed - bool(places)) / others if others else 0.0
        shown = _shortest(extract, tests, row[cut:])
        if scouted and is_scout(edit):
            continue
        if places and shown and not _is_unfit(row):
            crash = _is_crash(hidden, row[:cut])
            bugs.append(Bug(edit, text, shown, places, crash, rate, others))
    return Measured(killed / max(len(mutants), 1), len(mutants), tuple(bugs))


def scout(sandbox: Sandbox, extract: Extract, calls: Sequence[Tried]) -> dict[str, frozenset[int]]:
    """Return which scouts each call tells from the original, by the call's arguments.

    A scout is a mutant set apart to choose tests by; it can never become a task.
    """
    mutants = sample(edits(extract.text), extract.key)
    scouts = [extract.file_with(text) for edit, text in mutants if is_scout(edit)]
    rows = outcomes(sandbox, extract.entry, scouts, [call.args for call in calls])
    return {
        call.args: frozenset(n for n, row in enumerate(rows) if row[place] != call.outcome)
        for place, call in enumerate(calls)
    }


def is_scout(edit: Edit) -> bool:
    """Tell, by a hash, whether a mutant is set apart to choose tests by."""
    return digest(edit)[0] in "01234567"


def digest(edit: Edit) -> str:
    """A short name of the edit that does not change when other edits come or go."""
    spelled = f"{edit.line}:{edit.start}:{edit.end}:{edit.new}"
    return hashlib.sha256(spelled.encode()).hexdigest()[:4]


def sample(found: Sequence[tuple[Edit, str]], seed: str) -> list[tuple[Edit, str]]:
    """Return at most `MOST_MUTANTS` of the edits, even over operators as far as they reach."""
    rng = random.Random(f"mutants:{seed}")
    by_operator: dict[str, list[tuple[Edit, str]]] = defaultdict(list)
    for edit, text in rng.sample(list(found), len(found)):
        by_operator[edit.operator].append((edit, text))
    picked: list[tuple[Edit, str]] = []
    while len(picked) < MOST_MUTANTS and any(by_operator.values()):
        for name in sorted(by_operator):
            if by_operator[name] and len(picked) < MOST_MUTANTS:
                picked.append(by_operator[name].pop())
    return sorted(picked)


def fit(measured: Measured) -> list[Bug]:
    """Return the bugs whose tests kill enough of at least ten other mutants."""
    if measured.mutants < LEAST_MUTANTS:
        return []
    return [bug for bug in measured.bugs if bug.kill_rate >= LEAST_KILL_RATE]


def _differing(expected: Sequence[str], got: Sequence[str]) -> tuple[int, ...]:
    pairs = enumerate(zip(expected, got, strict=True))
    return tuple(place for place, (one, two) in pairs if one != two)


def _is_unfit(row: Sequence[str]) -> bool:
    return any(not comparable(got) or got in _UNFIT or _ADDRESS.search(got) for got in row)


def _is_crash(expected: Sequence[str], got: Sequence[str]) -> bool:
    """Tell whether the bug only ever shows as an exception, on nearly every call."""
    pairs = [(e, g) for e, g in zip(expected, got, strict=True) if e != g]
    return all(g.startswith("raises ") for _, g in pairs) and len(pairs) > 0.7 * len(expected)


def _shortest(extract: Extract, tests: Tests, got: Sequence[str]) -> str | None:
    lines = [
        statement(extract.name, call.args, outcome, call.outcome)
        for call, outcome in zip(tests.visible, got, strict=True)
        if outcome != call.outcome and comparable(outcome)
    ]
    return min((line for line in lines if line), key=_plainness, default=None)


def _plainness(line: str) -> tuple[int, str]:
    """Short lines first; two values say more than an exception."""
    return len(line) + 40 * (" raises " in line or line.endswith("Error")), line

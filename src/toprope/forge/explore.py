"""Finds inputs that a function accepts, by calling the original: before any bug is looked at.

Starts from the calls that the package's own tests write and from guesses by kind, then goes
on from what worked. It must not know any bug.
"""

from __future__ import annotations

import ast
import random
from collections.abc import Sequence
from dataclasses import dataclass

from toprope.forge.examples import Examples
from toprope.forge.extract import Extract
from toprope.forge.hints import PLAIN_KINDS, RARE_KINDS, parameter_kinds
from toprope.forge.literals import KINDS, as_literal, changed
from toprope.forge.trial import observe
from toprope.sandbox.protocol import Sandbox

_ROUNDS = (160, 160, 120)
_LONGEST_ARGS = 160
_LONGEST_OUTCOME = 400
_ENOUGH = 45
_RECORDED = ("recorded",)
_CHANGED = ("recorded", "changed")
_MOST_STEPS = 20_000
_UNUSABLE = ("opaque", "timeout", "unrun", "error:", " with arguments ... ")
# A wrong kind of argument is our mistake, and no test of the function.
_MISUSE = ("TypeError", "AttributeError", "NameError", "UnboundLocalError", "ImportError",
           "RecursionError", "MemoryError", "AssertionError", "NotImplementedError",
           "OverflowError")  # fmt: skip


@dataclass(frozen=True)
class Tried:
    """One call of the original: its argument literal, its outcome and the lines it ran."""

    args: str
    outcome: str
    lines: frozenset[tuple[int, int]]
    recorded: bool
    odd: bool = False

    @property
    def raises(self) -> bool:
        """Whether the original raises an exception on this call."""
        return self.outcome.startswith("raises ")


@dataclass(frozen=True)
class _Guess:
    kinds: tuple[str, ...]
    values: tuple[object, ...]
    odd: bool = False

    @property
    def recorded(self) -> bool:
        return self.kinds == _RECORDED


class Explorer:
    """Makes up calls of one function, learning from round to round which kinds work."""

    def __init__(self, node: ast.FunctionDef, examples: Examples, rng: random.Random) -> None:
        self._rng = rng
        spec = node.args
        self._parameters = [*spec.posonlyargs, *spec.args]
        self._least = len(self._parameters) - len(spec.defaults)
        fallback: list[ast.expr | None] = [None] * self._least + list(spec.defaults)
        self._hints = [
            parameter_kinds(p, d) for p, d in zip(self._parameters, fallback, strict=True)
        ]
        self._spread = spec.vararg is not None
        self._own = _own_literals(node) + examples.values(node)
        self._recorded = examples.calls(node)
        self._worked: dict[tuple[str, ...], list[tuple[object, ...]]] = {}
        self._results: dict[tuple[str, ...], set[str]] = {}

    def first(self, count: int) -> list[_Guess]:
        """Return the recorded calls, and `count` guesses by name, annotation and default."""
        recorded = [_Guess(_RECORDED, ast.literal_eval(a)) for a in self._recorded]
        return recorded + [self._guess() for _ in range(count)]

    def next(self, count: int) -> list[_Guess]:
        """Return guesses that follow what worked: the same kinds, or values changed a little."""
        return [self._follow() for _ in range(count)] if self._worked else []

    def learn(self, guess: _Guess, outcome: str) -> None:
        """Remember that a guess worked."""
        self._worked.setdefault(guess.kinds, []).append(guess.values)
        self._results.setdefault(guess.kinds, set()).add(outcome)

    def _guess(self) -> _Guess:
        arity = self._least
        if self._rng.random() < 0.5:
            arity = self._rng.randint(self._least, len(self._parameters))
        kinds = [self._kind(self._hints[place]) for place in range(arity)]
        if self._spread:
            kinds += [self._kind([])] * self._rng.randint(0 if kinds else 1, 3)
        return self._make(tuple(kinds))

    def _kind(self, hints: Sequence[str]) -> str:
        if self._own and self._rng.random() < 0.2:
            return "own"
        if hints and self._rng.random() < 0.75:
            return self._rng.choice(hints)
        return self._rng.choice(RARE_KINDS if self._rng.random() < 0.1 else PLAIN_KINDS)

    def _make(self, kinds: tuple[str, ...]) -> _Guess:
        values = tuple(
            self._rng.choice(self._own) if kind == "own" else KINDS[kind](self._rng)
            for kind in kinds
        )
        return _Guess(kinds, values, self._is_odd(kinds))

    def _is_odd(self, kinds: tuple[str, ...]) -> bool:
        """Tell whether a kind is one that the parameter's name or annotation does not suggest."""
        if kinds in {_RECORDED, _CHANGED}:
            return False
        hints = [*self._hints, *([[]] * len(kinds))]
        return any(
            kind != "own" and (kind not in hint if hint else kind in RARE_KINDS)
            for kind, hint in zip(kinds, hints, strict=False)
        )

    def _follow(self) -> _Guess:
        kinds = list(self._worked)
        weights = [1 + 2 * min(len(self._results[k]), 20) for k in kinds]
        chosen = self._rng.choices(kinds, weights)[0]
        if chosen not in {_RECORDED, _CHANGED} and self._rng.random() < 0.5:
            return self._make(chosen)
        values = list(self._rng.choice(self._worked[chosen]))
        if values:
            place = self._rng.randrange(len(values))
            values[place] = changed(values[place], self._rng)
        changed_kinds = _CHANGED if chosen == _RECORDED else chosen
        return _Guess(changed_kinds, tuple(values), self._is_odd(chosen))


def explore(sandbox: Sandbox, extract: Extract, node: ast.FunctionDef, examples: Examples,
            rng: random.Random) -> list[Tried] | None:  # fmt: skip
    """Return the usable calls found for a function, or None if it hangs or runs too long."""
    explorer = Explorer(node, examples, rng)
    found: dict[str, Tried] = {}
    seen: set[str] = set()
    for number, count in enumerate(_ROUNDS):
        guesses = explorer.next(count) if number else explorer.first(count)
        fresh = {as_literal(g.values): g for g in guesses}
        fresh = {a: g for a, g in fresh.items() if a not in seen and len(a) <= _LONGEST_ARGS}
        seen.update(fresh)
        if not fresh:
            continue
        observed = observe(
            sandbox, extract.entry, extract.file_with(extract.text), extract.first_line, list(fresh)
        )
        if observed is None or observed.steps > _MOST_STEPS:
            return None
        rows = zip(fresh.items(), observed.outcomes, observed.lines, strict=True)
        for (args, guess), outcome, lines in rows:
            if _is_usable(outcome):
                found[args] = Tried(args, outcome, lines, guess.recorded, guess.odd)
                if not found[args].raises:
                    explorer.learn(guess, outcome)
    natural = [call for call in found.values() if not call.odd]
    return natural if len(natural) >= _ENOUGH else list(found.values())


def _is_usable(outcome: str) -> bool:
    if len(outcome) > _LONGEST_OUTCOME or any(word in outcome for word in _UNUSABLE):
        return False
    return not outcome.startswith("raises ") or not outcome.endswith(_MISUSE)


def _own_literals(node: ast.FunctionDef) -> list[object]:
    """Return the strings and numbers in the function's own code: they lead into its branches."""
    found: dict[str, object] = {}
    for part in ast.walk(node):
        value = part.value if isinstance(part, ast.Constant) else None
        if isinstance(value, int | float) or (isinstance(value, str) and 0 < len(value) <= 12):
            found.setdefault(repr(value), value)
    return list(found.values())

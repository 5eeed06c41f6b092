"""Deals functions and bugs into train, dev and the three held-out tiers.

Every draw is a hash of the seed and a name, so another package changes nothing for the
ones that are there. It must not know how bugs are made.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from toprope.forge.bugs import Bug
from toprope.forge.chance import chance as named_chance
from toprope.forge.harvest import Function
from toprope.forge.operators import RESERVED
from toprope.forge.spread import spread
from toprope.terms import Split, Tier

SEED = "toprope-1"
MOST_TRAIN_BUGS = 4
_DEV_SHARE, _MID_SHARE, _NEAR_SHARE = 0.05, 0.11, 0.2
CAPS = {Tier.NEAR: 80, Tier.MID: 100, Tier.FAR: 140}
DEV_CAP = 64
_RARER = "logic"  # of the two reserved operators


@dataclass(frozen=True)
class Dealt:
    """One bug of a function and where it belongs."""

    function: Function
    bug: Bug
    split: Split
    tier: Tier | None

    @property
    def draw(self) -> float:
        """This bug's place in every seeded order, between 0 and 1."""
        return chance("task", self.function.extract.key, self.bug.digest, self.bug.edit.operator)


def chance(*names: str) -> float:
    """Return a number in [0, 1) that depends on the seed and the names alone."""
    return named_chance(SEED, *names)


def deal(functions: Iterable[Function]) -> list[Dealt]:
    """Return the tasks of all functions: held-out and dev capped, train in a seeded order."""
    dealt = [task for function in distinct(functions) for task in _deal_one(function)]
    train = sorted((t for t in dealt if t.split is Split.TRAIN), key=lambda t: t.draw)
    known = {t.function.extract.package.name for t in train}
    # Dev and mid are other functions of packages trained on: of no others.
    kept = [t for t in dealt if t.tier is Tier.FAR or t.function.extract.package.name in known]
    dev = _capped([t for t in kept if t.split is Split.DEV], DEV_CAP)
    tiers = [_capped([t for t in kept if t.tier is tier], cap) for tier, cap in CAPS.items()]
    return [*train, *dev, *(task for tier in tiers for task in tier)]


def distinct(functions: Iterable[Function]) -> list[Function]:
    """Drop functions that are another one with its names changed; far ones give way first."""
    ordered = sorted(functions, key=lambda f: (f.extract.package.far, f.extract.key))
    kept: dict[str, Function] = {}
    for function in ordered:
        kept.setdefault(anonymous(function.extract.text), function)
    return sorted(kept.values(), key=lambda f: f.extract.key)


def anonymous(text: str) -> str:
    """Return a function's tree with its own and its local names numbered, hints left out."""
    tree = ast.parse(text)
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            node.name = names.setdefault(node.name, f"n{len(names)}")
            node.returns = None
        elif isinstance(node, ast.arg):
            node.arg = names.setdefault(node.arg, f"n{len(names)}")
            node.annotation = None
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.setdefault(node.id, f"n{len(names)}")
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            node.id = names.get(node.id, node.id)
    return ast.dump(tree)


def _deal_one(function: Function) -> list[Dealt]:
    key = function.extract.key
    if function.extract.package.far:
        return [Dealt(function, b, Split.HELDOUT, Tier.FAR) for b in _far_bugs(function)]
    plain = [bug for bug in function.bugs if bug.edit.operator not in RESERVED]
    place = chance("function", key)
    if place < _DEV_SHARE:
        return [Dealt(function, bug, Split.DEV, None) for bug in spread(plain, 2, key)]
    if place < _DEV_SHARE + _MID_SHARE:
        return [Dealt(function, b, Split.HELDOUT, Tier.MID) for b in spread(plain, 2, key)]
    picked = spread(plain, MOST_TRAIN_BUGS + 1, key)
    lot = chance("near", key)
    # The same lot, stretched, says which bug: so near bugs are of the kinds trained on.
    turn = int(lot / _NEAR_SHARE * len(picked))
    near = picked[turn : turn + 1] if len(picked) >= 3 and lot < _NEAR_SHARE else []
    train = [bug for bug in picked if bug not in near][:MOST_TRAIN_BUGS]
    return [
        *(Dealt(function, bug, Split.TRAIN, None) for bug in train),
        *(Dealt(function, bug, Split.HELDOUT, Tier.NEAR) for bug in near),
    ]


def _far_bugs(function: Function) -> list[Bug]:
    """One bug of a reserved operator where there is one, and one of another."""
    key = function.extract.key
    rare = [bug for bug in function.bugs if bug.edit.operator == _RARER]
    reserved = rare or [bug for bug in function.bugs if bug.edit.operator in RESERVED]
    plain = [bug for bug in function.bugs if bug.edit.operator not in RESERVED]
    return [*spread(reserved, 1, key), *spread(plain, 1, key)]


def _capped(tasks: Sequence[Dealt], cap: int) -> list[Dealt]:
    """Return at most `cap` tasks in seeded order, every function once before any twice."""
    turn: dict[str, int] = {}
    numbered = []
    for task in sorted(tasks, key=lambda t: t.draw):
        key = task.function.extract.key
        turn[key] = turn.get(key, -1) + 1
        numbered.append((turn[key], task.draw, task))
    order: Callable[[tuple[int, float, Dealt]], tuple[int, float]] = lambda n: n[:2]  # noqa: E731
    kept = [task for _, _, task in sorted(numbered, key=order)[:cap]]
    return sorted(kept, key=lambda t: t.draw)

"""From one package's archive to its functions with tests and bugs, and a count of what fell out.

It must not know the other packages nor which split a function will fall into.
"""

from __future__ import annotations

import ast
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from toprope.forge.bugs import LEAST_KILL_RATE, LEAST_MUTANTS, Bug, Measured, fit, measure, scout
from toprope.forge.choose import MORE_HIDDEN, Tests, choose, is_shown
from toprope.forge.examples import Examples
from toprope.forge.explore import Tried, explore
from toprope.forge.extract import Extract, NotExtractable, candidates, extract
from toprope.forge.modules import read_modules
from toprope.forge.operators import edits
from toprope.forge.packages import Archive
from toprope.forge.trial import is_steady
from toprope.sandbox.protocol import Sandbox

MOST_SCOUTED = 160


@dataclass(frozen=True)
class Function:
    """One function that can carry tasks: its file, its tests, and the bugs they catch."""

    extract: Extract
    tests: Tests
    bugs: tuple[Bug, ...]
    recorded: int
    chosen_by: str


@dataclass
class Harvest:
    """What one package gave, and why each other function gave nothing."""

    package: str
    functions: list[Function] = field(default_factory=list)
    rejected: Counter[str] = field(default_factory=Counter)


def harvest(archive: Archive, sandbox: Sandbox) -> Harvest:
    """Try every plain top-level function of a package; `limit` of the package stops early."""
    found = Harvest(archive.package.name)
    examples = Examples(archive)
    limit = archive.package.limit or 10**9
    for piece, node in _extracts(archive, found.rejected):
        if len(found.functions) >= limit:
            break
        try:
            found.functions.append(_function(piece, node, examples, sandbox))
        except NotExtractable as reason:
            found.rejected[str(reason)] += 1
    return found


def _extracts(
    archive: Archive, rejected: Counter[str]
) -> Iterator[tuple[Extract, ast.FunctionDef]]:
    """Yield the functions that can be cut out, in an order drawn by the package's name."""
    modules = read_modules(archive.modules)
    pieces = []
    for node, module in candidates(modules):
        try:
            pieces.append((extract(node, module, modules, archive.package), node))
        except NotExtractable as reason:
            rejected[str(reason)] += 1
    random.Random(archive.package.name).shuffle(pieces)
    yield from pieces


def _function(piece: Extract, node: ast.FunctionDef, examples: Examples,
              sandbox: Sandbox) -> Function:  # fmt: skip
    if len(edits(piece.text)) < LEAST_MUTANTS:
        raise NotExtractable("has fewer than eleven mutants")
    tried = explore(sandbox, piece, node, examples, random.Random(f"explore:{piece.key}"))
    if tried is None:
        raise NotExtractable("hangs or is slow on some inputs")
    for attempt in (_plainly, _with_more, _with_scouts):
        tests, measured, how = attempt(piece, tried, sandbox)
        bugs = fit(measured)
        if bugs and measured.kill_rate >= LEAST_KILL_RATE:
            if not _is_steady(piece, tests, sandbox):
                raise NotExtractable("its outcomes differ from process to process")
            recorded = sum(call.recorded for call in tests.hidden)
            return Function(piece, tests, tuple(bugs), recorded, how)
    raise NotExtractable("its tests kill too few mutants")


def _is_steady(piece: Extract, tests: Tests, sandbox: Sandbox) -> bool:
    calls = [*tests.hidden, *tests.visible]
    arguments = [call.args for call in calls]
    outcomes = [call.outcome for call in calls]
    return is_steady(sandbox, piece.entry, piece.file_with(piece.text), arguments, outcomes)


_Tested = tuple[Tests, Measured, str]


def _plainly(piece: Extract, tried: list[Tried], sandbox: Sandbox) -> _Tested:
    tests = _enough(choose(tried))
    return tests, measure(sandbox, piece, tests), "variety"


def _with_more(piece: Extract, tried: list[Tried], sandbox: Sandbox) -> _Tested:
    tests = _enough(choose(tried, MORE_HIDDEN))
    return tests, measure(sandbox, piece, tests), "variety"


def _with_scouts(piece: Extract, tried: list[Tried], sandbox: Sandbox) -> _Tested:
    """Choose by what tells scouts apart: half of the mutants, which then cannot be tasks."""
    hidden = [call for call in tried if not is_shown(call)][:MOST_SCOUTED]
    caught = scout(sandbox, piece, hidden)
    tests = _enough(choose(tried, MORE_HIDDEN, caught))
    return tests, measure(sandbox, piece, tests, scouted=True), "scouts"


def _enough(tests: Tests | None) -> Tests:
    if tests is None:
        raise NotExtractable("too few varied inputs were found")
    return tests

"""Calls of a function with literal arguments, as its package's tests and doctests write them.

Found by reading, not by running: only calls whose arguments are Python literals count.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator

from toprope.forge.literals import as_literal
from toprope.forge.packages import Archive
from toprope.forge.rows import spelled_out

_DOCTEST = re.compile(r"^\s*(?:>>>|\.\.\.) ?(.*)$", re.MULTILINE)
_LONGEST_ARGS = 300
_MOST_CALLS = 60
_MOST_LITERALS = 40


class Examples:
    """What one package's tests and doctests call, parsed once."""

    def __init__(self, archive: Archive) -> None:
        self._calls: dict[str, list[ast.Call]] = defaultdict(list)
        self._literals: dict[str, dict[str, object]] = defaultdict(dict)
        for text in archive.tests.values():
            self._read_tests(text)
        for text in archive.modules.values():
            for statement in _doctest_lines(text):
                for call in _calls(_parse(statement)):
                    self._calls[_name(call.func)].append(call)

    def _read_tests(self, text: str) -> None:
        tree = _parse(text)
        for call in _calls(tree):
            self._calls[_name(call.func)].append(call)
        for call in spelled_out(tree):
            self._calls[_name(call.func)].append(call)
        for block in ast.walk(tree):
            if isinstance(block, ast.FunctionDef) and block.name.startswith("test"):
                values = {as_literal(value): value for value in _literals(block)}
                for name in {_name(n) for n in ast.walk(block)} - {""}:
                    self._literals[name].update(values)

    def calls(self, function: ast.FunctionDef) -> list[str]:
        """Return the distinct argument tuples, as literals, of the calls of `function`.

        Keyword arguments are put in their place; calls that leave a gap are dropped.
        """
        spec = function.args
        names = [a.arg for a in [*spec.posonlyargs, *spec.args]]
        found: dict[str, None] = {}
        for call in self._calls.get(function.name, ()):
            values = _place(call, names, spec.defaults)
            if values is not None and len(text := as_literal(tuple(values))) <= _LONGEST_ARGS:
                found.setdefault(text)
        return list(found)[:_MOST_CALLS]

    def values(self, function: ast.FunctionDef) -> list[object]:
        """Return literals from the test functions that mention `function`."""
        return list(self._literals.get(function.name, {}).values())[:_MOST_LITERALS]


def _place(call: ast.Call, names: list[str], defaults: list[ast.expr]) -> list[object] | None:
    try:
        values = [ast.literal_eval(arg) for arg in call.args]
        named = {k.arg: ast.literal_eval(k.value) for k in call.keywords}
        fallback = dict(zip(names[len(names) - len(defaults) :], defaults, strict=True))
        for name in names[len(values) :]:
            if not named:
                break
            values.append(named.pop(name) if name in named else ast.literal_eval(fallback[name]))
    except (ValueError, TypeError, KeyError, SyntaxError, MemoryError, RecursionError):
        return None
    return None if named else values


def _parse(text: str) -> ast.Module:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError):
        return ast.Module(body=[], type_ignores=[])


def _calls(tree: ast.AST) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _name(node.func):
            yield node


def _name(node: ast.AST) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _doctest_lines(text: str) -> Iterator[str]:
    if ">>>" in text:
        for match in _DOCTEST.finditer(text):
            yield match.group(1)


def _literals(block: ast.AST) -> Iterator[object]:
    for node in ast.walk(block):
        if isinstance(node, ast.Constant | ast.List | ast.Tuple | ast.Dict | ast.Set):
            try:
                value = ast.literal_eval(node)
            except (ValueError, TypeError, SyntaxError):
                continue
            if value is not None and value is not Ellipsis and len(as_literal(value)) < 120:
                yield value

"""Operators on names and calls: wrong variables, orders, methods, wrappers, conversions."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from toprope.forge.operators.shown import Edit, Shown

_METHODS = (
    "lower upper|append extend|startswith endswith|lstrip rstrip|strip lstrip|strip rstrip"
    "|keys values|values items|find rfind|index rindex|split rsplit|partition rpartition"
    "|ljust rjust|union intersection|add discard|isdigit isalpha|isalnum isalpha|islower isupper"
    "|title capitalize|popleft pop|match search|match fullmatch"
    "|issubset issuperset|update difference_update|most_common elements|zfill ljust"
    "|intersection difference|real imag|year month|month day|hour minute|floor ceil"
    "|combinations permutations|chain zip|bisect_left bisect_right|numerator denominator"
)
_BUILTINS = "min max|any all|sum max|sum len|floor ceil|int float|list tuple|set list|str repr"
_WRAPPERS = frozenset([
    "sorted", "list", "set", "tuple", "int", "float", "str", "abs", "reversed", "round", "dict",
    "iter", "bool", "frozenset", "len", "sum", "max", "min", "next", "as_int", "mpf", "bytes",
])  # fmt: skip
_EMPTY_METHODS = frozenset([
    "strip", "lower", "upper", "copy", "lstrip", "rstrip", "title", "capitalize",
])  # fmt: skip


def _pairs(spec: str) -> dict[str, list[str]]:
    table: dict[str, list[str]] = {}
    for pair in spec.split("|"):
        one, two = pair.split()
        table.setdefault(one, []).append(two)
        table.setdefault(two, []).append(one)
    return table


_METHOD_SWAPS = _pairs(_METHODS)
_BUILTIN_SWAPS = _pairs(_BUILTINS)


def variable(shown: Shown) -> Iterator[Edit]:
    """Another of the function's variables where one is read."""
    for node in shown.body:
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            if node.id not in shown.variables or shown.is_called(node):
                continue
            if isinstance(shown.parents.get(node), ast.Return):
                continue
            for other in _others(shown, node):
                yield from shown.replace("variable", node, other)


def returned(shown: Shown) -> Iterator[Edit]:
    """Another of the function's variables returned."""
    for node in shown.body:
        if isinstance(node, ast.Return) and isinstance(node.value, ast.Name):
            for other in _others(shown, node.value):
                yield from shown.replace("returned", node.value, other)


def _others(shown: Shown, node: ast.Name) -> list[str]:
    """At most three variables that are bound by this line, nearest in order of appearance."""
    known = [name for name, line in shown.variables.items() if line <= node.lineno]
    place = known.index(node.id) if node.id in known else 0
    others = [name for name in known if name != node.id]
    return sorted(others, key=lambda other: abs(known.index(other) - place))[:3]


def order(shown: Shown) -> Iterator[Edit]:
    """Two arguments of a call, or the operands of a sign that is not symmetric, exchanged."""
    for node in shown.body:
        if isinstance(node, ast.Call):
            for one, two in zip(node.args, node.args[1:], strict=False):
                yield from _exchange(shown, one, two)
        elif isinstance(node, ast.BinOp) and not isinstance(node.op, ast.Mult | ast.BitOr):
            if isinstance(node.left, ast.BinOp) or isinstance(node.right, ast.BinOp):
                continue
            yield from _exchange(shown, node.left, node.right)


def _exchange(shown: Shown, one: ast.expr, two: ast.expr) -> Iterator[Edit]:
    if isinstance(one, ast.Starred) or isinstance(two, ast.Starred):
        return
    first, second = shown.source(one), shown.source(two)
    if first is None or second is None or one.lineno != two.lineno or first == second:
        return
    line = shown.lines[one.lineno - 1]
    middle = line[one.end_col_offset : two.col_offset]
    end = two.end_col_offset or 0
    yield Edit(one.lineno, one.col_offset, end, second + middle + first, "order")


def method(shown: Shown) -> Iterator[Edit]:
    """A neighbouring method or attribute: `rstrip` for `lstrip`, `values` for `keys`."""
    for node in shown.body:
        if isinstance(node, ast.Attribute):
            inner = shown.source(node.value)
            for new in _METHOD_SWAPS.get(node.attr, ()):
                if inner is not None:
                    yield from shown.replace("method", node, f"{inner}.{new}")


def function(shown: Shown) -> Iterator[Edit]:
    """A neighbouring built-in function: `max` for `min`, `all` for `any`."""
    for node in shown.body:
        if isinstance(node, ast.Name) and shown.is_called(node):
            for new in [*_BUILTIN_SWAPS.get(node.id, ()), *_METHOD_SWAPS.get(node.id, ())]:
                yield from shown.replace("function", node, new)


def unwrap(shown: Shown) -> Iterator[Edit]:
    """A call left out around its argument: `x` for `sorted(x)`, `s` for `s.strip()`."""
    for node in shown.body:
        if not isinstance(node, ast.Call):
            continue
        if isinstance(node.func, ast.Name) and node.func.id in _WRAPPERS and len(node.args) == 1:
            if not isinstance(node.args[0], ast.GeneratorExp | ast.Starred):
                yield from shown.replace("unwrap", node, shown.source(node.args[0]))
        elif isinstance(node.func, ast.Attribute) and not (node.args or node.keywords):
            inner = node.func.value
            if node.func.attr in _EMPTY_METHODS:
                yield from shown.replace("unwrap", node, shown.source(inner))

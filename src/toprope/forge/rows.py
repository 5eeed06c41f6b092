"""Test calls that are written once for many rows of values, spelled out row by row.

Reads `@pytest.mark.parametrize("a, b", [(1, 2), ...])` and `for a, b in [(1, 2), ...]:` and
puts each row's values into the calls below. It must not know which function is wanted.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator, Sequence

_MOST_ROWS = 40
Row = dict[str, ast.expr]


def spelled_out(tree: ast.AST) -> Iterator[ast.Call]:
    """Yield the calls inside parametrized tests and literal loops with each row's values."""
    for node in ast.walk(tree):
        rows: list[Row] = []
        if isinstance(node, ast.FunctionDef):
            for decorator in node.decorator_list:
                rows += _parametrized(decorator)
        elif isinstance(node, ast.For) and isinstance(node.iter, ast.List | ast.Tuple):
            names = _targets(node.target)
            rows = [row for item in node.iter.elts if (row := _row(names, item))]
        if rows and isinstance(node, ast.FunctionDef | ast.For):
            for part in ast.walk(ast.Module(body=list(node.body), type_ignores=[])):
                if isinstance(part, ast.Call):
                    yield from _filled(part, rows[:_MOST_ROWS])


def _parametrized(decorator: ast.expr) -> list[Row]:
    if not isinstance(decorator, ast.Call) or len(decorator.args) < 2:
        return []
    if getattr(decorator.func, "attr", "") != "parametrize":
        return []
    spelled, values = decorator.args[:2]
    if isinstance(spelled, ast.Constant) and isinstance(spelled.value, str):
        names = [name.strip() for name in spelled.value.split(",") if name.strip()]
    elif isinstance(spelled, ast.List | ast.Tuple):
        names = [str(n.value) for n in spelled.elts if isinstance(n, ast.Constant)]
    else:
        return []
    if not isinstance(values, ast.List | ast.Tuple):
        return []
    return [row for item in values.elts if (row := _row(names, item))]


def _targets(target: ast.expr) -> list[str]:
    if isinstance(target, ast.Name):
        return [target.id]
    if isinstance(target, ast.Tuple) and all(isinstance(n, ast.Name) for n in target.elts):
        return [n.id for n in target.elts if isinstance(n, ast.Name)]
    return []


def _row(names: Sequence[str], item: ast.expr) -> Row:
    if isinstance(item, ast.Call) and getattr(item.func, "attr", "") == "param":
        items: list[ast.expr] = list(item.args)
    elif len(names) == 1:
        items = [item]
    elif isinstance(item, ast.Tuple | ast.List):
        items = list(item.elts)
    else:
        return {}
    return dict(zip(names, items, strict=True)) if len(names) == len(items) else {}


def _filled(call: ast.Call, rows: Sequence[Row]) -> Iterator[ast.Call]:
    """Yield a call once per row, if any of its arguments is a name that the rows give."""
    read = {arg.id for arg in _arguments(call) if isinstance(arg, ast.Name)}
    for row in rows:
        if not read & set(row):
            return
        filled = copy.copy(call)
        filled.args = [_value(arg, row) for arg in call.args]
        filled.keywords = [ast.keyword(k.arg, _value(k.value, row)) for k in call.keywords]
        yield filled


def _arguments(call: ast.Call) -> list[ast.expr]:
    return [*call.args, *(keyword.value for keyword in call.keywords)]


def _value(argument: ast.expr, row: Row) -> ast.expr:
    return row.get(argument.id, argument) if isinstance(argument, ast.Name) else argument

"""Operators on conditions: comparisons, and/or, negations, branches, truth values."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from toprope.forge.operators.shown import Edit, Shown

_COMPARE = {
    ast.Lt: ("<", ["<=", ">"]),
    ast.LtE: ("<=", ["<", ">="]),
    ast.Gt: (">", [">=", "<"]),
    ast.GtE: (">=", [">", "<="]),
    ast.Eq: ("==", ["!="]),
    ast.NotEq: ("!=", ["=="]),
    ast.Is: ("is", ["is not"]),
    ast.IsNot: ("is not", ["is"]),
    ast.In: ("in", ["not in"]),
    ast.NotIn: ("not in", ["in"]),
}


def compare(shown: Shown) -> Iterator[Edit]:
    """Another comparison: `<` for `<=`, `==` for `!=`, `in` for `not in`."""
    for node in shown.body:
        if isinstance(node, ast.Compare):
            left = node.left
            for token, right in zip(node.ops, node.comparators, strict=True):
                old, others = _COMPARE[type(token)]
                for new in others:
                    yield from shown.between("compare", left, right, f"{old}", new)
                left = right


def logic(shown: Shown) -> Iterator[Edit]:
    """`and` for `or`, and the reverse."""
    for node in shown.body:
        if isinstance(node, ast.BoolOp):
            old, new = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
            for left, right in zip(node.values, node.values[1:], strict=False):
                yield from shown.between("logic", left, right, old, new)


def negate(shown: Shown) -> Iterator[Edit]:
    """A condition with a `not` too many, or one missing."""
    for node in shown.body:
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            yield from shown.replace("negate", node, shown.source(node.operand))
        elif isinstance(node, ast.If | ast.While | ast.IfExp):
            yield from _add_not(shown, node.test)
        elif isinstance(node, ast.comprehension):
            for test in node.ifs:
                yield from _add_not(shown, test)
        elif isinstance(node, ast.BoolOp):
            for value in node.values:
                yield from _add_not(shown, value)


def _add_not(shown: Shown, node: ast.expr) -> Iterator[Edit]:
    if isinstance(node, ast.Name | ast.Call | ast.Attribute | ast.Subscript):
        yield from shown.replace("negate", node, f"not {shown.source(node)}")


def truth(shown: Shown) -> Iterator[Edit]:
    """`True` for `False`, and the reverse."""
    for node in shown.body:
        if isinstance(node, ast.Constant) and isinstance(node.value, bool):
            yield from shown.replace("truth", node, repr(not node.value))


def branches(shown: Shown) -> Iterator[Edit]:
    """The two values of a conditional expression, exchanged."""
    for node in shown.body:
        if isinstance(node, ast.IfExp):
            parts = [shown.source(part) for part in (node.body, node.test, node.orelse)]
            if None not in parts:
                new = f"{parts[2]} if {parts[1]} else {parts[0]}"
                yield from shown.replace("branches", node, new)


def leave(shown: Shown) -> Iterator[Edit]:
    """`break` for `continue`, and the reverse."""
    for node in shown.body:
        if isinstance(node, ast.Break | ast.Continue):
            new = "continue" if isinstance(node, ast.Break) else "break"
            yield from shown.replace("leave", node, new)

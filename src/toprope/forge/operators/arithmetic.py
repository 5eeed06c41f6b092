"""Operators on numbers: signs, constants, bounds, terms."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from toprope.forge.operators.shown import Edit, Shown

_SWAPS = {
    ast.Add: ("+", ["-"]),
    ast.Sub: ("-", ["+"]),
    ast.Mult: ("*", ["+", "//"]),
    ast.Div: ("/", ["*", "//"]),
    ast.FloorDiv: ("//", ["%", "*"]),
    ast.Mod: ("%", ["//"]),
    ast.Pow: ("**", ["*"]),
    ast.LShift: ("<<", [">>"]),
    ast.RShift: (">>", ["<<"]),
    ast.BitAnd: ("&", ["|"]),
    ast.BitOr: ("|", ["&", "^"]),
    ast.BitXor: ("^", ["|"]),
}
_AUGMENTED = {
    ast.Add: ("+=", ["-=", "="]),
    ast.Sub: ("-=", ["+=", "="]),
    ast.Mult: ("*=", ["+=", "//="]),
    ast.Div: ("/=", ["*=", "//="]),
    ast.FloorDiv: ("//=", ["*=", "%="]),
    ast.Mod: ("%=", ["//="]),
    ast.LShift: ("<<=", [">>="]),
    ast.RShift: (">>=", ["<<="]),
    ast.BitAnd: ("&=", ["|="]),
    ast.BitOr: ("|=", ["&=", "="]),
    ast.BitXor: ("^=", ["|="]),
}


def arithmetic(shown: Shown) -> Iterator[Edit]:
    """Another arithmetic sign: `+` for `-`, `//` for `/`."""
    for node in shown.body:
        if isinstance(node, ast.BinOp) and type(node.op) in _SWAPS:
            if isinstance(node.op, ast.Mod) and isinstance(node.left, ast.Constant | ast.JoinedStr):
                continue  # a format string
            old, others = _SWAPS[type(node.op)]
            for new in others:
                yield from shown.between("arithmetic", node.left, node.right, old, new)


def augmented(shown: Shown) -> Iterator[Edit]:
    """Another augmented assignment: `-=` for `+=`, or a plain one."""
    for node in shown.body:
        if isinstance(node, ast.AugAssign) and type(node.op) in _AUGMENTED:
            old, others = _AUGMENTED[type(node.op)]
            for new in others:
                yield from shown.between("augmented", node.target, node.value, old, new)


def constant(shown: Shown) -> Iterator[Edit]:
    """A number that is one off; indices, slices and ranges have operators of their own."""
    for node in shown.body:
        if _is_number(node) and not _is_bound(shown, node):
            for delta in (1, -1):
                if isinstance(node.value, int) and node.value + delta >= 0:  # type: ignore[attr-defined]
                    new = _number(shown.source(node), node.value + delta)  # type: ignore[attr-defined]
                    yield from shown.replace("constant", node, new)
                elif isinstance(node.value, float) and delta == 1:  # type: ignore[attr-defined]
                    yield from shown.replace("constant", node, repr(node.value + 1))  # type: ignore[attr-defined]


def index(shown: Shown) -> Iterator[Edit]:
    """An index that is one off."""
    for node in shown.body:
        if isinstance(node, ast.Subscript) and not isinstance(node.slice, ast.Slice):
            yield from _shifts(shown, "index", node.slice)


def cut(shown: Shown) -> Iterator[Edit]:
    """A slice with a bound that is one off, or with a bound missing, or not reversed."""
    for node in shown.body:
        if not isinstance(node, ast.Slice):
            continue
        for bound in (node.lower, node.upper):
            if bound is not None:
                yield from _shifts(shown, "slice", bound)
                yield from shown.replace("slice", bound, "")
        if node.step is not None and shown.source(node) == "::-1":
            yield from shown.replace("slice", node, ":")


def bounds(shown: Shown) -> Iterator[Edit]:
    """A range that starts or ends one too early or too late."""
    for node in shown.body:
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in {"range", "xrange", "islice"}
        ):
            for bound in node.args:
                yield from _shifts(shown, "range", bound)
            if len(node.args) == 1 and node.func.id == "range":
                yield from shown.replace("range", node.args[0], f"1, {shown.source(node.args[0])}")


def sign(shown: Shown) -> Iterator[Edit]:
    """A minus sign missing, or one too many on a returned value."""
    for node in shown.body:
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            if not isinstance(shown.parents.get(node), ast.Slice):
                yield from shown.replace("sign", node, shown.source(node.operand))
        elif isinstance(node, ast.Return) and isinstance(node.value, ast.Name):
            yield from shown.replace("sign", node.value, f"-{node.value.id}")


def term(shown: Shown) -> Iterator[Edit]:
    """A term of a sum, product or condition left out."""
    for node in shown.body:
        if isinstance(node, ast.BinOp):
            yield from shown.replace("term", node, shown.source(node.left))
            yield from shown.replace("term", node, shown.source(node.right))
        elif isinstance(node, ast.BoolOp) and len(node.values) == 2:
            for value in node.values:
                yield from shown.replace("term", node, shown.source(value))


def _shifts(shown: Shown, operator: str, node: ast.expr) -> Iterator[Edit]:
    """A bound one lower or higher: `0` to `1`, `-1` to `-2`, `n` to `n + 1`, `n - 1` to `n`."""
    value = _integer(node)
    if value is not None:
        for delta in (1, -1):
            yield from shown.replace(operator, node, str(value + delta))
        return
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub):
        if isinstance(node.right, ast.Constant) and node.right.value == 1:
            yield from shown.replace(operator, node, shown.source(node.left))
        return
    if isinstance(node, ast.Name | ast.Call | ast.Attribute):
        for new in (f"{shown.source(node)} + 1", f"{shown.source(node)} - 1"):
            yield from shown.replace(operator, node, new)


def _integer(node: ast.expr) -> int | None:
    negative = isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub)
    inner = node.operand if isinstance(node, ast.UnaryOp) and negative else node
    if isinstance(inner, ast.Constant) and type(inner.value) is int:
        return -inner.value if negative else inner.value
    return None


def _is_number(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and type(node.value) in {int, float}


def _is_bound(shown: Shown, node: ast.AST) -> bool:
    """Tell whether a number is an index, a slice's bound or a range's argument."""
    parent = shown.parents.get(node)
    if isinstance(parent, ast.UnaryOp):
        node, parent = parent, shown.parents.get(parent)
    if isinstance(parent, ast.Subscript | ast.Slice):
        return True
    return (
        isinstance(parent, ast.Call)
        and isinstance(parent.func, ast.Name)
        and parent.func.id in {"range", "xrange", "islice"}
    )


def _number(old: str | None, value: int) -> str | None:
    """Write a number in the base that it was written in."""
    if old is None:
        return None
    return hex(value) if old.lower().startswith("0x") else str(value)

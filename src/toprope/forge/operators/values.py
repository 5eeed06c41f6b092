"""Operators on literal values that are not plain numbers: strings, defaults, filters."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from toprope.forge.operators.shown import Edit, Shown

_NEIGHBOURS = {
    "": [" "],
    " ": ["", "_"],
    "-": ["_", ""],
    "_": ["-", " "],
    ",": [";", " "],
    ";": [","],
    ".": [",", ""],
    ":": [";", ""],
    "/": ["\\\\", ""],
    "0": ["1"],
    "1": ["0"],
    "\\n": [" ", ""],
    "=": [":"],
    "+": ["-"],
    "(": [")"],
    ")": ["("],
    "<": [">"],
    ">": ["<"],
}


def string(shown: Shown) -> Iterator[Edit]:
    """A string that is not quite the right one."""
    literals = [n for n in shown.body if isinstance(n, ast.Constant) and isinstance(n.value, str)]
    bodies = list(dict.fromkeys(_body(shown, node) or "" for node in literals))
    for node in literals:
        body = _body(shown, node)
        if body is None or isinstance(shown.parents.get(node), ast.JoinedStr | ast.Expr):
            continue
        for new in _near(body, bodies):
            yield from shown.replace("string", node, _quoted(shown, node, new))


def _near(body: str, bodies: list[str]) -> list[str]:
    if body in _NEIGHBOURS:
        return _NEIGHBOURS[body]
    found = []
    if body.isidentifier() and len(body) > 2:
        found.append(body[:-1])
    if body.isalpha() and body.upper() != body:
        found.append(body.capitalize() if body.islower() else body.lower())
    if body.strip() != body:
        found.append(body.strip())
    place = bodies.index(body)
    found += [other for other in bodies[place + 1 : place + 2] if other]
    if "%d" in body:
        found.append(body.replace("%d", "%s", 1))
    if "{}" in body and len(body) > 2 and "{}" not in body.replace("{}", "", 1):
        found.append(body.replace("{}", "", 1) + "{}")
    return list(dict.fromkeys(new for new in found if new != body))


def _body(shown: Shown, node: ast.Constant) -> str | None:
    """Return what stands between a plain one-line literal's quotes, escapes as written."""
    text = shown.source(node)
    if text is None or len(text) < 2 or text[:3] in {'"""', "'''"}:
        return None
    if text[0] not in "'\"" or text[-1] != text[0] or "\\" in text.replace("\\n", ""):
        return None
    return text[1:-1]


def _quoted(shown: Shown, node: ast.Constant, new: str) -> str:
    quote = (shown.source(node) or '"')[0]
    return quote + new.replace(quote, "") + quote


def default(shown: Shown) -> Iterator[Edit]:
    """Another default value of a parameter."""
    spec = shown.function.args
    for node in [*spec.defaults, *(d for d in spec.kw_defaults if d is not None)]:
        if not isinstance(node, ast.Constant):
            continue
        if isinstance(node.value, bool):
            yield from shown.replace("default", node, repr(not node.value))
        elif isinstance(node.value, int):
            yield from shown.replace("default", node, str(node.value + 1))
            yield from shown.replace("default", node, str(abs(node.value - 1)))
        elif isinstance(node.value, float):
            yield from shown.replace("default", node, repr(node.value + 1))
        elif isinstance(node.value, str):
            body = _body(shown, node)
            for new in _near(body, [body]) if body is not None else ():
                yield from shown.replace("default", node, _quoted(shown, node, new))


def unfilter(shown: Shown) -> Iterator[Edit]:
    """A comprehension that forgets its condition."""
    for node in shown.body:
        if isinstance(node, ast.comprehension) and len(node.ifs) == 1:
            test = node.ifs[0]
            source = shown.source(node.iter)
            if source is None or test.lineno != node.iter.lineno or shown.source(test) is None:
                continue
            start, end = node.iter.end_col_offset or 0, test.end_col_offset or 0
            between = shown.lines[test.lineno - 1][start:end]
            if between.count("(") == between.count(")"):
                yield Edit(test.lineno, start, end, "", "unfilter")


def keyword(shown: Shown) -> Iterator[Edit]:
    """A call that forgets its last keyword argument."""
    for node in shown.body:
        if isinstance(node, ast.Call) and node.keywords and node.keywords[-1].arg:
            last = node.keywords[-1]
            before = [*node.args, *(k.value for k in node.keywords[:-1])]
            start = before[-1].end_col_offset if before else (node.func.end_col_offset or 0) + 1
            if last.value.end_lineno != node.func.lineno or last.lineno != node.func.lineno:
                continue
            if not before or before[-1].end_lineno == last.lineno:
                yield Edit(last.lineno, start or 0, last.value.end_col_offset or 0, "", "keyword")


def nothing(shown: Shown) -> Iterator[Edit]:
    """`None` returned in place of an empty value, or an empty value of another type."""
    swaps = {"[]": ["None"], "()": ["None"], "{}": ["[]"], "''": ["None"], '""': ["None"]}
    for node in shown.body:
        if isinstance(node, ast.Return) and node.value is not None:
            for new in swaps.get(shown.source(node.value) or "", ()):
                yield from shown.replace("nothing", node.value, new)
            if isinstance(node.value, ast.Constant) and node.value.value is None:
                yield from shown.replace("nothing", node.value, "[]")

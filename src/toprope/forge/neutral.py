"""The same task with neutral names: parameters, locals and the function's own name say nothing.

Names are replaced token by token, and the trees before and after are compared, so that names
are all that differs. Whether the task still holds is for `grading.prove` to say; it must not
know what the task is for.
"""

from __future__ import annotations

import ast
import builtins
import io
import keyword
import re
import tokenize
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from toprope.forge.scopes import Shape, shape_of
from toprope.terms import Task

_OWN = "fn"
_LOCAL = "v"
_TAKEN = frozenset([*dir(builtins), *keyword.kwlist, *keyword.softkwlist])


def neutral(task: Task) -> Task | str:
    """Return the task with neutral names, or why it cannot be renamed.

    The id stays, so that the same random numbers draw both. Parameters keep their names where
    a suite may call by them, and so does every name that an f-string or an own call's keyword
    reads.
    """
    path = task.focus.path
    before, after = task.start().get(path), task.solution.get(path)
    if before is None or after is None:
        return "its fix is not in the file that is shown"
    shapes = [shape_of(text, task.focus.first, task.focus.last) for text in (before, after)]
    broken, fixed = shapes
    if broken is None or fixed is None or broken.dotted != fixed.dotted:
        return "no one function of Python is shown"
    kept = broken.kept | fixed.kept | {broken.name}
    if task.suite:
        kept |= broken.parameters | fixed.parameters
    names = [n for n in dict.fromkeys([*broken.bound, *fixed.bound]) if n not in kept]
    fresh = _fresh(before, after)
    mapping = {name: fresh(f"{_LOCAL}{at}") for at, name in enumerate(names)}
    statement = _restated(task, broken, fixed, new := fresh(_OWN))
    if statement is not None:
        mapping[broken.name] = new
    if not mapping:
        return "it has no name to replace"
    written = [_replaced(shape, mapping) for shape in (broken, fixed)]
    if None in written:
        return "a name stands where it cannot be replaced"
    return replace(
        task,
        files={**task.files, path: str(written[0])},
        solution={**task.solution, path: str(written[1])},
        statement=task.statement if statement is None else statement,
        entry=task.entry if statement is None else f"{task.entry.partition(':')[0]}:{new}",
    )


def _fresh(*texts: str) -> Callable[[str], str]:
    """Return a maker of names that occur nowhere in these texts, each told once."""
    taken = {word for text in texts for word in re.findall(r"\w+", text)} | _TAKEN

    def make(wanted: str) -> str:
        name = wanted
        while name in taken:
            name += "_"
        taken.add(name)
        return name

    return make


def _restated(task: Task, broken: Shape, fixed: Shape, new: str) -> str | None:
    """Return the statement with a new name for the function; None where it keeps its own.

    It is renamed only where nothing but the function itself and the tests' calls speak of it.
    """
    name = broken.name
    ours = task.entry.partition(":")[2] == name and "." not in broken.dotted
    shadowed = name in broken.kept | fixed.kept | {*broken.bound, *fixed.bound}
    if not task.calls or not ours or shadowed or broken.named_outside or fixed.named_outside:
        return None
    told, count = re.subn(rf"^((?:list\()?){re.escape(name)}\(", rf"\g<1>{new}(", task.statement)
    return told if count else None


def _replaced(shape: Shape, mapping: Mapping[str, str]) -> str | None:
    """Return the file with the names replaced in its function; None if more would change."""
    lines = shape.text.splitlines(keepends=True)
    for line, start, end in reversed(list(_places(shape, mapping))):
        row = lines[line - 1]
        lines[line - 1] = row[:start] + mapping[row[start:end]] + row[end:]
    text = "".join(lines)
    expected = ast.parse(shape.text)
    for node in ast.walk(expected):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.lineno == shape.first:
            _rename_tree(node, mapping)
    try:
        return text if ast.dump(ast.parse(text)) == ast.dump(expected) else None
    except SyntaxError:
        return None


def _places(shape: Shape, mapping: Mapping[str, str]) -> Iterable[tuple[int, int, int]]:
    """Yield (line, first column, end) of each name to replace, in order of the text."""
    before = ""
    for token in tokenize.generate_tokens(io.StringIO(shape.text).readline):
        line, start = token.start
        inside = shape.first <= line <= shape.last and token.string in mapping
        spoken = before == "." or (line, start) in shape.keywords
        if token.type == tokenize.NAME and inside and not spoken:
            yield line, start, token.end[1]
        if token.type not in (tokenize.NL, tokenize.COMMENT):
            before = token.string


# Where a tree holds a name that its scope binds or reads, by the kind of node.
_FIELDS = {
    ast.Name: "id", ast.arg: "arg", ast.FunctionDef: "name", ast.AsyncFunctionDef: "name",
    ast.ClassDef: "name", ast.ExceptHandler: "name", ast.MatchAs: "name", ast.MatchStar: "name",
    ast.MatchMapping: "rest",
}  # fmt: skip


def _rename_tree(function: ast.AST, mapping: Mapping[str, str]) -> None:
    for node in ast.walk(function):
        if isinstance(node, ast.Nonlocal):
            node.names = [mapping.get(name, name) for name in node.names]
        elif (field := _FIELDS.get(type(node))) is not None:
            name = getattr(node, field)
            setattr(node, field, mapping.get(name, name))

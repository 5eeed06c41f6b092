"""One function of a file as a renaming sees it: which names are its own, and which must stay.

By Python's own symbol tables. It must not know why anything is renamed.
"""

from __future__ import annotations

import ast
import re
import symtable
from collections.abc import Iterator
from dataclasses import dataclass

Function = ast.FunctionDef | ast.AsyncFunctionDef
_CUSTOMARY = frozenset(["self", "cls", "_"])


@dataclass(frozen=True, slots=True)
class Shape:
    """A function in its file; `first` to `last` are its 1-based lines, decorators left out.

    `bound` are the names that it or a function within binds, in order of the text; `kept` those
    that also mean something that is not its own. `keywords` are the (line, column) of names
    that a call gives its arguments. `named_outside` is whether the rest of the file has a word
    like the function's name.
    """

    text: str
    name: str
    dotted: str
    first: int
    last: int
    bound: tuple[str, ...]
    kept: frozenset[str]
    parameters: frozenset[str]
    keywords: frozenset[tuple[int, int]]
    named_outside: bool


def shape_of(text: str, first: int, last: int) -> Shape | None:
    """Return the innermost function that lines `first` to `last` lie in; None if none."""
    try:
        tree = ast.parse(text)
        table = symtable.symtable(text, "shown", "exec")
    except (SyntaxError, ValueError):
        return None
    found = _innermost(tree, first, last)
    own = None if found is None else _table_of(table, found[1].name, found[1].lineno)
    if found is None or own is None:
        return None
    dotted, node = found
    bound, foreign = _symbols(own)
    if "." not in dotted:
        foreign.discard(node.name)  # a function of the file that calls itself
    end = node.end_lineno or node.lineno
    lines = text.split("\n")
    rest = [*lines[: node.lineno - 1], *lines[end:]]
    spec = node.args
    arguments = [*spec.posonlyargs, *spec.args, *spec.kwonlyargs, spec.vararg, spec.kwarg]
    return Shape(
        text=text,
        name=node.name,
        dotted=dotted,
        first=node.lineno,
        last=end,
        bound=_in_order(bound, "\n".join(lines[node.lineno - 1 : end])),
        kept=frozenset(foreign | _CUSTOMARY | _spoken(tree, node, bound | {node.name})),
        parameters=frozenset(one.arg for one in arguments if one),
        keywords=frozenset(_keyword_places(node, lines)),
        named_outside=any(re.search(rf"\b{node.name}\b", line) for line in rest),
    )


def _innermost(tree: ast.AST, first: int, last: int) -> tuple[str, Function] | None:
    """The smallest function that covers the lines."""
    covering = [
        (dotted, node)
        for dotted, node in _functions(tree, "")
        if min([node.lineno, *(d.lineno for d in node.decorator_list)]) <= first
        and last <= (node.end_lineno or 0)
    ]
    return covering[-1] if covering else None


def _functions(node: ast.AST, above: str) -> Iterator[tuple[str, Function]]:
    """Yield (dotted name, function) of all functions below, outer ones first."""
    for child in ast.iter_child_nodes(node):
        dotted = above
        if isinstance(child, Function | ast.ClassDef):
            dotted = f"{above}.{child.name}".removeprefix(".")
        if isinstance(child, Function):
            yield dotted, child
        yield from _functions(child, dotted)


def _table_of(table: symtable.SymbolTable, name: str, line: int) -> symtable.SymbolTable | None:
    for child in table.get_children():
        if child.get_name() == name and child.get_lineno() == line:
            return child
        if (found := _table_of(child, name, line)) is not None:
            return found
    return None


def _symbols(own: symtable.SymbolTable) -> tuple[set[str], set[str]]:
    """Return the names bound in a function and below, and those that mean something else there.

    A name that one scope binds and another reads from outside cannot be told apart by its
    letters, and what a class binds are attributes.
    """
    bound: set[str] = set()
    foreign = {s.get_name() for s in own.get_symbols() if s.is_free()}
    tables = [own]
    while tables:
        table = tables.pop()
        tables += table.get_children()
        for symbol in table.get_symbols():
            name = symbol.get_name()
            if symbol.is_global() or symbol.is_imported() or name.startswith("__"):
                foreign.add(name)
            elif table.get_type() == "class":
                foreign.update([name] if symbol.is_local() else [])
            elif symbol.is_local() and name.isidentifier():
                bound.add(name)
    return bound, foreign


def _spoken(tree: ast.AST, function: Function, ours: set[str]) -> set[str]:
    """The names that stand where they cannot be replaced, or that something outside may say.

    Those in f-strings (text to the tokeniser of Python 3.11), those in defaults, decorators and
    annotations, which are read outside, and those by which a function of its own is called.
    """
    spec = function.args
    outside = [*spec.defaults, *(d for d in spec.kw_defaults if d), *function.decorator_list]
    outside += [a for a in [function.returns] if a]
    outside += [a.annotation for a in ast.walk(spec) if isinstance(a, ast.arg) and a.annotation]
    strings = [node for node in ast.walk(function) if isinstance(node, ast.JoinedStr)]
    found = {
        node.id
        for part in [*outside, *strings]
        for node in ast.walk(part)
        if isinstance(node, ast.Name)
    }
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        by = call.func
        name = by.id if isinstance(by, ast.Name) else getattr(by, "attr", None)
        elsewhere = name is not None and name not in ours
        if not elsewhere:
            found.update(k.arg for k in call.keywords if k.arg)
    return found


def _keyword_places(function: Function, lines: list[str]) -> Iterator[tuple[int, int]]:
    for node in ast.walk(function):
        if isinstance(node, ast.keyword) and node.arg:
            before = lines[node.lineno - 1].encode()[: node.col_offset]
            yield node.lineno, len(before.decode())


def _in_order(names: set[str], text: str) -> tuple[str, ...]:
    return tuple(w for w in dict.fromkeys(re.findall(r"\w+", text)) if w in names)

"""The shown function as operators see it: its text, its tree, and edits of one line.

It must not know any operator. Texts are ASCII, so columns of the tree are columns of the text.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

from toprope.forge.freenames import walk_code


@dataclass(frozen=True, order=True)
class Edit:
    """A replacement of the columns `start` to `end` of one 1-based line by `new`."""

    line: int
    start: int
    end: int
    new: str
    operator: str


class Shown:
    """A shown function, parsed once; all its operators read from here."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.lines = text.split("\n")
        node = ast.parse(text).body[0]
        if not isinstance(node, ast.FunctionDef):
            raise ValueError("the shown text is not one function")
        self.function = node

    @cached_property
    def body(self) -> list[ast.AST]:
        """The nodes of the body, in source order; signature and annotations left out."""
        return [part for statement in self.function.body for part in walk_code(statement)]

    @cached_property
    def parents(self) -> dict[ast.AST, ast.AST]:
        """The parent of each node."""
        return {c: p for p in ast.walk(self.function) for c in ast.iter_child_nodes(p)}

    @cached_property
    def variables(self) -> dict[str, int]:
        """The parameters and local names with the line that first binds them, in that order."""
        spec = self.function.args
        found = [a.arg for a in [*spec.posonlyargs, *spec.args, *spec.kwonlyargs]]
        bound = dict.fromkeys(found + [a.arg for a in (spec.vararg, spec.kwarg) if a], 1)
        for node in self.body:
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                bound.setdefault(node.id, node.lineno)
        return bound

    def source(self, node: ast.AST) -> str | None:
        """Return the node's text if it lies on one line."""
        if getattr(node, "lineno", 0) != getattr(node, "end_lineno", -1):
            return None
        return self.lines[node.lineno - 1][node.col_offset : node.end_col_offset]  # type: ignore[attr-defined]

    def replace(self, operator: str, node: ast.AST, new: str | None) -> Iterator[Edit]:
        """Yield the edit that puts `new` in the node's place, if that is possible on one line."""
        old = self.source(node)
        if old is not None and new is not None and new != old:
            yield Edit(node.lineno, node.col_offset, node.end_col_offset, new, operator)  # type: ignore[attr-defined]

    def between(self, operator: str, left: ast.expr, right: ast.expr, old: str,
                new: str) -> Iterator[Edit]:  # fmt: skip
        """Yield the edit that turns the token `old` between two nodes into `new`."""
        if left.end_lineno != right.lineno:
            return
        line = self.lines[right.lineno - 1]
        first, last = left.end_col_offset or 0, right.col_offset
        if line[first:last].count(old) != 1:
            return
        start = first + line[first:last].index(old)
        yield Edit(right.lineno, start, start + len(old), new, operator)

    def apply(self, edit: Edit) -> str:
        """Return the function's text with the edit made."""
        lines = list(self.lines)
        old = lines[edit.line - 1]
        lines[edit.line - 1] = old[: edit.start] + edit.new + old[edit.end :]
        return "\n".join(lines)

    def is_called(self, node: ast.AST) -> bool:
        """Tell whether a node is what a call calls."""
        parent = self.parents.get(node)
        return isinstance(parent, ast.Call) and parent.func is node


Operator = Callable[[Shown], Iterator[Edit]]

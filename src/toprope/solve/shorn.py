"""A function as students were shown it, and the way back: no docstring, comments, blank lines.

Whole lines are taken out of the file and put back in the same places, so that an answer that
changes a line of what is shown changes the same line of the user's file and nothing else.
"""

from __future__ import annotations

import ast
import io
import textwrap
import tokenize
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from toprope.terms import Focus


@dataclass(frozen=True)
class Shorn:
    """A file without the noise in one function: `gone` lines by number, `focus` what is left."""

    path: str
    text: str
    focus: Focus
    gone: Mapping[int, str]

    def whole(self, changes: Mapping[str, str]) -> dict[str, str]:
        """Return changes to the shorn file as changes to the user's file.

        Raises `ValueError` for changes that do not keep the number of lines.
        """
        found = dict(changes)
        if self.path in found and self.gone:
            lines = found[self.path].split("\n")
            if len(lines) != self.text.count("\n") + 1:
                raise ValueError("an answer changed the number of lines")
            for number, line in sorted(self.gone.items()):
                lines.insert(number - 1, line)
            found[self.path] = "\n".join(lines)
        return found


def shear(path: str, text: str, focus: Focus) -> Shorn:
    """Return the file shorn in the focus; as it is where that would leave no function."""
    lines = text.split("\n")
    shown = lines[focus.first - 1 : focus.last]
    gone = {focus.first + at: shown[at] for at in _noise(shown)}
    kept = [line for number, line in enumerate(lines, 1) if number not in gone]
    return Shorn(
        path, "\n".join(kept), Focus(path, focus.first, focus.last - len(gone)), gone
    )  # fmt: skip


def _noise(lines: Sequence[str]) -> set[int]:
    """Which lines of a function (from 0) hold only a docstring, a remark or nothing."""
    text = textwrap.dedent("\n".join(lines))
    try:
        tree = ast.parse(text)
        tokens = list(tokenize.generate_tokens(io.StringIO(text + "\n").readline))
    except (SyntaxError, ValueError, tokenize.TokenError):
        return set()
    held = {
        number
        for token in tokens
        if token.string.strip() and token.type != tokenize.COMMENT
        for number in range(token.start[0], token.end[0] + 1)
    }
    return {at for at in range(len(lines)) if at + 1 not in held - _docstrings(tree)}


def _docstrings(tree: ast.Module) -> set[int]:
    """The lines of docstrings that share none with code and are not all of a body."""
    found: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            first, *rest = node.body
            constant = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
            if not constant or not isinstance(first.value.value, str) or not rest:  # type: ignore[attr-defined]
                continue
            if first.lineno > node.lineno and rest[0].lineno > (first.end_lineno or 0):
                found.update(range(first.lineno, (first.end_lineno or first.lineno) + 1))
    return found

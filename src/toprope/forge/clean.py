"""A function's source text as the student is shown it: no docstring, comments, blank lines.

Everything else stays the package's own text. It must not know where the text came from.
"""

from __future__ import annotations

import ast
import io
import tokenize

Function = ast.FunctionDef | ast.ClassDef


def clean_text(node: Function, lines: list[str]) -> str | None:
    """Return the cleaned text of a top-level definition, or None if it cannot be cut cleanly.

    `lines` are the lines of the module the node was parsed from. Decorators stay out, so the
    caller decides whether a function without them is still the same function.
    """
    text = "".join(line + "\n" for line in lines[node.lineno - 1 : node.end_lineno])
    try:
        cleaned = _without_noise(_without_docstrings(text))
        tree = ast.parse(cleaned)
    except (SyntaxError, tokenize.TokenError, ValueError, IndentationError):
        return None
    if len(tree.body) != 1 or not isinstance(tree.body[0], ast.FunctionDef | ast.ClassDef):
        return None
    return cleaned


def _without_docstrings(text: str) -> str:
    tree = ast.parse(text)
    lines = text.split("\n")
    cut: set[int] = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
            continue
        first = node.body[0]
        if _is_docstring(first) and len(node.body) > 1:
            if first.lineno == node.lineno or node.body[1].lineno == first.end_lineno:
                raise ValueError("a docstring shares its line with code")
            cut.update(range(first.lineno, (first.end_lineno or first.lineno) + 1))
    return "\n".join(line for number, line in enumerate(lines, start=1) if number not in cut)


def _is_docstring(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _without_noise(text: str) -> str:
    """Drop comments and blank lines, but never touch a line that a string spans."""
    lines = text.split("\n")
    inside: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.STRING:
            inside.update(range(token.start[0], token.end[0]))
        elif token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
    kept = []
    for number, line in enumerate(lines, start=1):
        spanned = number in inside
        if spanned or line.strip():
            kept.append(line if spanned else line.rstrip())
    return "\n".join(kept) + "\n"

"""Takes the failing tests out of the starting state: they are the grader, not a hint."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence

from toprope.grading.pytest_ids import find_function, path_of, without_parameters


def without(files: Mapping[str, str], tests: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Return (test files without these tests, files of which nothing else is left)."""
    changed: dict[str, str] = {}
    gone: list[str] = []
    for path in dict.fromkeys(path_of(name) for name in tests):
        mine = [name for name in tests if path_of(name) == path]
        text = _cut(files[path], mine)
        if text is None:
            gone.append(path)
        else:
            changed[path] = text
    return changed, gone


def _cut(text: str, tests: Sequence[str]) -> str | None:
    """The text without the functions of these tests; None if a test cannot be cut out alone."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return None
    drop: set[int] = set()
    lonely: list[ast.ClassDef] = []
    for name in {without_parameters(test) for test in tests}:
        found = find_function(tree, name)
        if found is None:
            return None
        top = min([found.lineno, *(d.lineno for d in found.decorator_list)])
        drop |= set(range(top, (found.end_lineno or found.lineno) + 1))
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and all(s.lineno in drop for s in node.body):
            lonely.append(node)
    lines = text.split("\n")
    for node in lonely:
        at = node.body[0].lineno
        lines[at - 1] = " " * node.body[0].col_offset + "pass"
        drop.discard(at)
    return "\n".join(line for at, line in enumerate(lines, 1) if at not in drop)

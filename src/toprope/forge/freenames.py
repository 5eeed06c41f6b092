"""Which names a piece of code reads from outside itself, and which it must not use.

Annotations are ignored: extracted files postpone their evaluation. It must not know where
a name is defined.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator

BUILTINS = frozenset(dir(builtins)) - {"__build_class__", "__loader__", "__spec__"}
_FORBIDDEN_NAMES = frozenset([
    "open", "input", "exec", "eval", "compile", "globals", "locals", "vars", "breakpoint",
    "exit", "quit", "id", "hash", "help", "memoryview", "print", "__import__", "__file__",
])  # fmt: skip
# Clocks, the local time zone, chance, the machine: a test of them would not repeat.
_FORBIDDEN_ATTRIBUTES = frozenset([
    "now", "today", "utcnow", "timestamp", "fromtimestamp", "utcfromtimestamp", "astimezone",
    "localtime", "mktime", "sleep", "urandom", "environ", "getenv", "random", "shuffle",
    "__globals__", "__code__", "__subclasses__", "f_back", "uuid1", "uuid4", "getrandbits",
])  # fmt: skip


def free_names(node: ast.AST) -> list[str]:
    """Return the names that `node` reads but does not bind, in order of first use."""
    bound: set[str] = set()
    read: dict[str, None] = {}
    for part in walk_code(node):
        if isinstance(part, ast.Name):
            if isinstance(part.ctx, ast.Load):
                read.setdefault(part.id)
            else:
                bound.add(part.id)
        elif isinstance(part, ast.arg):
            bound.add(part.arg)
        elif isinstance(part, ast.ExceptHandler):
            bound.update([part.name] if part.name else [])
        elif isinstance(part, ast.FunctionDef | ast.ClassDef) and part is not node:
            bound.add(part.name)
        elif isinstance(part, ast.Import | ast.ImportFrom):
            bound.update((alias.asname or alias.name).split(".")[0] for alias in part.names)
    return [name for name in read if name not in bound]


def is_forbidden(node: ast.AST) -> bool:
    """Tell whether code can reach files, clocks, chance or the interpreter's own state."""
    for part in walk_code(node):
        if isinstance(part, ast.Name) and part.id in _FORBIDDEN_NAMES:
            return True
        if isinstance(part, ast.Attribute) and part.attr in _FORBIDDEN_ATTRIBUTES:
            return True
        if isinstance(part, ast.Global | ast.Import | ast.ImportFrom):
            return True
        if isinstance(part, ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith):
            return True
    return False


def walk_code(node: ast.AST) -> Iterator[ast.AST]:
    """Yield `node` and what is below it, without annotations and decorators, in source order."""
    yield node
    for name, value in ast.iter_fields(node):
        if name in {"annotation", "returns", "decorator_list", "type_comment"}:
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from walk_code(child)

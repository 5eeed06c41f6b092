"""What a test id says: `path::Class::function[parameters]`, and where that stands in a file."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence

TestFunction = ast.FunctionDef | ast.AsyncFunctionDef
_PARAMETERS = re.compile(r"\[.*$", re.DOTALL)


def path_of(test: str) -> str:
    """Return the file of a test."""
    return test.partition("::")[0]


def without_parameters(test: str) -> str:
    """Return the id of the function that a parametrised test is one case of."""
    return _PARAMETERS.sub("", test)


def find_function(tree: ast.Module, test: str) -> TestFunction | None:
    """Return the function of a test without parameters in its file's tree."""
    body: Sequence[ast.stmt] = tree.body
    *classes, function = test.split("::")[1:] or [""]
    for name in classes:
        body = next((n.body for n in body if isinstance(n, ast.ClassDef) and n.name == name), [])
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == function:
            return node
    return None

"""Imports test modules as pytest would, and defines further functions in them.

Names and path are those of pytest's default import mode. Hooks in modules, and fixtures
that act by themselves, are `NotPlain`.
"""

from __future__ import annotations

import importlib
import os
import sys
import types
from collections.abc import Sequence
from typing import Any, NamedTuple

from .parameters import NotPlain

_HOOKS = ("pytest_plugins", "pytest_generate_tests", "__test__")
_PACKAGE_HOOKS = ("setUpModule", "setup_module", "tearDownModule", "teardown_module")


class Copy(NamedTuple):
    """A further function: its file, class ("" for none) and neighbour, name, line and text."""

    path: str
    owner: str
    after: str
    name: str
    line: int
    text: str


def module_at(path: str) -> Any:
    """Import the module at `path` as pytest's default import mode does."""
    folder, name = os.path.split(path)
    parts = [name[: -len(".py")]]
    while os.path.isfile(os.path.join(folder, "__init__.py")):
        folder, package = os.path.split(folder)
        parts.insert(0, package)
    if not all(part.isidentifier() for part in parts):
        raise NotPlain(f"{path} has no importable name")
    root = os.path.join(os.getcwd(), folder) if folder else os.getcwd()
    if sys.path[0] != root:
        sys.path.insert(0, root)
    importlib.import_module(".".join(parts))
    module = sys.modules[".".join(parts)]
    if getattr(module, "__file__", None) != os.path.join(os.getcwd(), path):
        raise NotPlain(f"{path} is not what its name imports")
    _check_module(module, [".".join(parts[:end]) for end in range(1, len(parts))])
    return module


def _check_module(module: Any, packages: Sequence[str]) -> None:
    for name in _HOOKS:
        if name in vars(module):
            raise NotPlain(f"the module has {name}")
    for package in packages:
        if any(name in vars(sys.modules[package]) for name in _PACKAGE_HOOKS):
            raise NotPlain(f"the package {package} has its own set-up")
    check_fixtures(module)


def check_fixtures(owner: Any) -> None:
    """Refuse fixtures that act without being asked for."""
    places = owner.__mro__ if isinstance(owner, type) else (owner,)
    for found in [value for place in places for value in list(vars(place).values())]:
        if type(found).__name__ == "FixtureFunctionDefinition":
            marker = getattr(found, "_fixture_function_marker", None)
        elif isinstance(found, types.FunctionType):
            marker = found.__dict__.get("_pytestfixturefunction")
            if marker is None:
                continue
        else:
            continue
        if getattr(marker, "autouse", True):
            raise NotPlain("a fixture acts by itself")


def plant(modules: dict[str, Any], copies: Sequence[Copy]) -> None:
    """Define each copy beside its neighbour, as if it stood in the file."""
    for copy in copies:
        module = modules[copy.path]
        place = vars(module).get(copy.owner) if copy.owner else module
        if copy.owner and not isinstance(place, type):
            continue  # then what it is a copy of is not found either
        text = "\n" * copy.line + copy.text
        defined: dict[str, Any] = {}
        exec(compile(text, module.__file__, "exec"), vars(module), defined)
        function = defined[copy.name]
        function.__module__ = module.__name__
        if copy.owner:
            function.__qualname__ = f"{copy.owner}.{copy.name}"
        setattr(place, copy.name, function)

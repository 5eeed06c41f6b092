"""Finds the wanted tests in their modules as pytest would, where that is plain.

The order is pytest's. Functions that ask for fixtures, coroutines and other things that only
pytest runs are `NotPlain`.
"""

from __future__ import annotations

import inspect
import types
import unittest
from collections.abc import Sequence
from typing import Any, NamedTuple

from . import parameters
from .modules import Copy, check_fixtures
from .parameters import Case, NotPlain

_MAKERS = ("__init__", "__new__")


class Item(NamedTuple):
    """One test: its id, where it is defined, its case and all its marks."""

    id: str
    module: Any
    owner: Any
    name: str
    case: Case
    marks: list[Any]


def items(modules: dict[str, Any], wanted: Sequence[str], copies: Sequence[Copy]) -> list[Item]:
    """The wanted tests that exist, in the order in which pytest runs them."""
    names: dict[tuple[str, str], list[str]] = {}
    for test in wanted:
        path, owner, name = _parts(test)
        if path in modules:
            names.setdefault((path, owner), []).append(name)
    left = set(wanted)
    found: list[Item] = []
    for path, module in modules.items():
        order = _order(list(vars(module)), [copy for copy in copies if copy.path == path])
        for top in order:
            for owner in ("", top):
                if (path, owner) in names:
                    if owner == "" and top in names[path, ""]:
                        found += _of_function(path, module, None, top)
                    elif owner:
                        found += _of_class(path, module, owner, names[path, owner], copies)
    return [item for item in found if item.id in left]


def _parts(test: str) -> tuple[str, str, str]:
    path, _, rest = test.partition("::")
    rest = rest.partition("[")[0]
    if rest.count("::") > 1:
        raise NotPlain("it is in a class within a class")
    owner, _, name = rest.rpartition("::")
    return path, owner, name


def _order(names: list[str], copies: Sequence[Copy]) -> list[str]:
    """The names with each copy behind its neighbour; what has no copy stays where it is."""
    for copy in copies:
        if not copy.owner and copy.name in names and copy.after in names:
            names.remove(copy.name)
            names.insert(names.index(copy.after) + 1, copy.name)
    return names


def _of_function(path: str, module: Any, owner: Any, name: str) -> list[Item]:
    place = owner or module
    found = inspect.getattr_static(place, name, None)
    if not isinstance(found, types.FunctionType) or not name.startswith("test"):
        raise NotPlain(f"{name} is no plain function")
    if hasattr(found, "patchings") or hasattr(found, "__test__"):
        raise NotPlain(f"{name} is patched")
    inner = inspect.unwrap(found)
    if inspect.isgeneratorfunction(inner) or inspect.isasyncgenfunction(inner):
        raise NotPlain(f"{name} is a generator")
    if inspect.iscoroutinefunction(inner):
        raise NotPlain(f"{name} is a coroutine")
    marks = parameters.marks_of(found, *([owner] if owner else []), module)
    prefix = f"{path}::{owner.__name__ if owner else ''}{'::' if owner else ''}{name}"
    made = []
    for case in parameters.cases(marks):
        if owner is None or not issubclass(owner, unittest.TestCase):
            _check_arguments(found, case, owner)
        elif case.id:
            raise NotPlain("a unittest case is parametrized")
        told = f"{prefix}[{case.id}]" if _is_parametrized(marks) else prefix
        made.append(Item(told, module, owner, name, case, [*case.marks, *marks]))
    return made


def _is_parametrized(marks: Sequence[Any]) -> bool:
    return any(mark.name == "parametrize" for mark in marks)


def _check_arguments(function: Any, case: Case, owner: Any) -> None:
    """Refuse a function that wants more, or other, than its case gives: that is a fixture."""
    wanted = [
        name
        for name, one in inspect.signature(function).parameters.items()
        if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY) and one.default is one.empty
    ]
    if owner is not None:
        wanted = wanted[1:]
    if set(wanted) != set(case.arguments):
        raise NotPlain("a test asks for fixtures")


def _of_class(
    path: str, module: Any, name: str, wanted: Sequence[str], copies: Sequence[Copy]
) -> list[Item]:
    owner = vars(module).get(name)
    if not isinstance(owner, type) or owner.__name__ != name or hasattr(owner, "__test__"):
        raise NotPlain(f"{name} is no plain class")
    check_fixtures(owner)
    if hasattr(owner, "pytest_generate_tests"):
        raise NotPlain("the class makes its own cases")
    if issubclass(owner, unittest.TestCase):
        order = unittest.TestLoader().getTestCaseNames(owner)
        if any(hasattr(owner, odd) for odd in ("setup_method", "teardown_method", "setup_class",
                                               "teardown_class")):  # fmt: skip
            raise NotPlain("a unittest class has set-up of another style")
    elif not name.startswith("Test") or _made_specially(owner):
        raise NotPlain(f"{name} is no plain class")
    else:
        order = _order_in_class(owner, [copy for copy in copies if copy.owner == name])
    return [
        item for one in order if one in wanted for item in _of_function(path, module, owner, one)
    ]


def _made_specially(owner: type) -> bool:
    return any(name in vars(place) for place in owner.__mro__[:-1] for name in _MAKERS)


def _order_in_class(owner: type, copies: Sequence[Copy]) -> list[str]:
    seen: set[str] = set()
    parts = []
    for place in owner.__mro__:
        fresh = [name for name in vars(place) if name not in seen]
        seen.update(fresh)
        parts.append(fresh)
    order = [name for part in reversed(parts) for name in part]
    for copy in copies:
        if copy.name in order and copy.after in order:
            order.remove(copy.name)
            order.insert(order.index(copy.after) + 1, copy.name)
    return order

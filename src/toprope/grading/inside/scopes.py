"""What is set up once for a module or a class, and around each test, in the style of xunit."""

from __future__ import annotations

import inspect
import types
import unittest
from collections.abc import Callable, Sequence
from typing import Any

from .parameters import NotPlain


class Scope:
    """Set up at the first test of `owner`, torn down after its last.

    A set-up that failed fails every test in it, and nothing is torn down.
    """

    def __init__(self, owner: Any) -> None:
        self.owner = owner
        self._entered = False
        self._fault: BaseException | None = None

    def enter(self) -> None:
        """Set up, once; raises what the set-up raised."""
        if self._fault is not None:
            raise self._fault
        if self._entered:
            return
        try:
            set_up(self.owner)
        except BaseException as fault:
            self._fault = fault
            raise
        self._entered = True

    def leave(self) -> None:
        """Tear down, if it was set up."""
        if self._entered:
            self._entered = False
            tear_down(self.owner)


def set_up(owner: Any) -> None:
    """Do what a module or class wants before its first test."""
    if isinstance(owner, types.ModuleType):
        _call(_first(owner, "setUpModule", "setup_module"), owner)
    elif issubclass(owner, unittest.TestCase):
        try:
            owner.setUpClass()
        except Exception:
            _clean_up(owner)
            raise
    else:
        _call(_first(owner, "setup_class"), owner)


def tear_down(owner: Any) -> None:
    """Do what a module or class wants after its last test."""
    if isinstance(owner, types.ModuleType):
        _call(_first(owner, "tearDownModule", "teardown_module"), owner)
    elif issubclass(owner, unittest.TestCase):
        try:
            owner.tearDownClass()
        finally:
            _clean_up(owner)
    else:
        _call(_first(owner, "teardown_class"), owner)


def before(module: Any, instance: Any, test: Any) -> None:
    """Do what is wanted before each test: of its instance, or of its module where it has none."""
    place, name = (module, "setup_function") if instance is None else (instance, "setup_method")
    _call(_first(place, name), test)


def after(module: Any, instance: Any, test: Any) -> None:
    """Do what is wanted after each test."""
    place, name = (
        (module, "teardown_function") if instance is None else (instance, "teardown_method")
    )
    _call(_first(place, name), test)


def in_order(steps: Sequence[Callable[[], None]]) -> None:
    """Take every step, then raise what the first failing one raised."""
    faults: list[BaseException] = []
    for step in steps:
        try:
            step()
        except BaseException as fault:
            faults.append(fault)
    if faults:
        raise faults[0]


def _clean_up(owner: Any) -> None:
    owner.doClassCleanups()
    if owner.tearDown_exceptions:
        raise NotPlain("a clean-up of a class failed")


def _first(place: Any, *names: str) -> Any:
    for name in names:
        found = getattr(place, name, None)
        if found is not None:
            return found
    return None


def _call(function: Any, argument: Any) -> None:
    """Call it with the argument if it takes one."""
    if function is None:
        return
    count = function.__code__.co_argcount - inspect.ismethod(function)
    if count:
        function(argument)
    else:
        function()

"""Runs chosen tests without pytest's session, where they are plain: the quick runner.

What makes a test's outcome is as under pytest: import mode, order, set-up and tear-down of
modules, classes and functions, cases, skips, captured output, filters of warnings. Whatever
else a suite turns out to need is told as "not plain: ...", and pytest itself has to run.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
import time
import unittest
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from _pytest.capture import FDCapture, MultiCapture
from _pytest.config import parse_warning_filter
from _pytest.logging import LogCaptureHandler, catching_logs

from . import collecting, modules, parameters, scopes, warm
from .cases import ending, run_case
from .collecting import Item
from .modules import Copy
from .parameters import NotPlain

NOT_PLAIN = "not plain: "
_VERSIONS = (8, 9)  # major ones of pytest whose ways are known
_REMOVED = "PytestRemovedIn{}Warning"
# Plug-ins that leave tests alone which do not ask for them.
_INERT = {"anyio", "hypothesispytest", "pytest_cov", "xdist", "xdist.looponfail"}
_STEERING = ("PYTEST_ADDOPTS", "PYTEST_PLUGINS")


def run(request: dict[str, Any], tell: Callable[[dict[str, Any]], None]) -> None:
    """Run the request's tests and `tell` the record's fields, which ends this process."""
    begun = time.process_time()
    session = Session(request["plain"])
    error = ""
    try:
        session.run(request["paths"], request["wanted"])
    except NotPlain:
        pass
    except BaseException as fault:
        NotPlain(f"it ends with {type(fault).__name__}")
    if NotPlain.said:
        error = NOT_PLAIN + NotPlain.said[0][:200]
    tell({
        "error": error,
        "outcomes": {} if error else session.outcomes,
        "texts": {},
        "calls": {},
        "seconds": {},
        "cpu_s": round(time.process_time() - begun, 4),
    })  # fmt: skip


class Session:
    """One run: modules are collected, then their wanted tests run; `outcomes` says the ends."""

    def __init__(self, told: dict[str, Any]) -> None:
        self.filters: list[str] = told["filters"]
        self.level: int | None = told["log_level"]
        self.copies = [Copy(*copy) for copy in told["copies"]]
        self.outcomes: dict[str, str] = {}
        self.strays: list[str] = []  # exceptions that nobody could catch
        self.module = self.owner = scopes.Scope(None)
        self.instance: Any = None
        self.test: Any = None

    def run(self, paths: Sequence[str], wanted: Sequence[str]) -> None:
        """Collect and run, with standard output and error out of sight."""
        _check_surroundings()
        os.environ["PYTEST_VERSION"] = pytest.__version__
        sys.unraisablehook = lambda stray: self.strays.append("unraisable")
        threading.excepthook = lambda stray: self.strays.append("in a thread")
        capture = MultiCapture(in_=FDCapture(0), out=FDCapture(1), err=FDCapture(2))
        capture.start_capturing()
        with catching_logs(logging.NullHandler(), level=self.level), self._warned([]):
            loaded = self._collected(paths)
        if not self.outcomes:
            silent = catching_logs(logging.NullHandler(), level=self.level)
            with silent, catching_logs(LogCaptureHandler()) as logs:
                for item, following in _pairs(collecting.items(loaded, wanted, self.copies)):
                    with self._warned(item.marks):
                        self._one(item, following)
                    capture.readouterr()
                    logs.reset()
        if self.strays and self.filters:
            raise NotPlain(f"an exception was raised {self.strays[0]}")

    def _collected(self, paths: Sequence[str]) -> dict[str, Any]:
        found = {}
        for path in paths:
            if not path.endswith(".py") or not os.path.isfile(path):
                raise NotPlain(f"{path} is no Python file")
            try:
                found[path] = modules.module_at(path)
            except (pytest.skip.Exception, unittest.SkipTest) as skipped:
                if not getattr(skipped, "allow_module_level", True):
                    self.outcomes[path] = "error"
            except (Exception, pytest.fail.Exception) as fault:
                if isinstance(fault, pytest.xfail.Exception):
                    raise NotPlain("a module is expected to fail") from None
                self.outcomes[path] = "error"
        if not self.outcomes:
            modules.plant(found, self.copies)
        return found

    def _one(self, item: Item, following: Item | None) -> None:
        if self._phase(item, "setup", lambda: self._set_up(item)):
            self._phase(item, "call", lambda: self._call(item))
        self._phase(item, "teardown", lambda: self._tear_down(item, following))
        del os.environ["PYTEST_CURRENT_TEST"]

    def _phase(self, item: Item, when: str, step: Callable[[], str]) -> bool:
        """Take a step of a test, note its end as pytest's reports would, tell if it went well."""
        os.environ["PYTEST_CURRENT_TEST"] = f"{item.id} ({when})".replace("\x00", "(null)")
        try:
            end = step()
        except NotPlain:
            raise
        except BaseException as fault:
            end = ending(fault)
        if end == "passed":
            if when == "call":
                self.outcomes.setdefault(item.id, "passed")
        elif end == "failed":
            self.outcomes[item.id] = "failed" if when == "call" else "error"
        else:
            self.outcomes[item.id] = end
        return end == "passed"

    def _set_up(self, item: Item) -> str:
        self.instance = self.test = None
        if parameters.skipped(item.marks):
            return "skipped"
        if self.module.owner is not item.module:
            self.module = scopes.Scope(item.module)
        self.module.enter()
        if item.owner is not None:
            if self.owner.owner is not item.owner:
                self.owner = scopes.Scope(item.owner)
            if getattr(item.owner, "__unittest_skip__", False):
                return "skipped"
            self.owner.enter()
        if item.owner is None:
            test, instance = vars(item.module)[item.name], None
        else:
            is_case = issubclass(item.owner, unittest.TestCase)
            instance = item.owner(item.name) if is_case else item.owner()
            test = getattr(instance, item.name)
        if not isinstance(instance, unittest.TestCase):
            scopes.before(item.module, instance, test)
        self.instance, self.test = instance, test
        return "passed"

    def _call(self, item: Item) -> str:
        if isinstance(self.instance, unittest.TestCase):
            return run_case(self.instance)
        if self.test(**item.case.arguments) is not None:
            raise NotPlain("a test returns something")
        return "passed"

    def _tear_down(self, item: Item, following: Item | None) -> str:
        steps: list[Callable[[], None]] = []
        if self.test is not None and not isinstance(self.instance, unittest.TestCase):
            instance, test = self.instance, self.test
            steps.append(lambda: scopes.after(item.module, instance, test))
        if self.owner.owner is not None and (not following or following.owner is not item.owner):
            steps.append(self.owner.leave)
        if not following or following.module is not item.module:
            steps.append(self.module.leave)
        scopes.in_order(steps)
        return "passed"

    @contextlib.contextmanager
    def _warned(self, marks: Sequence[Any]) -> Iterator[None]:
        """The filters of warnings that pytest sets up around a test, or the collection."""
        with warnings.catch_warnings(record=True):
            if not sys.warnoptions:
                warnings.filterwarnings("always", category=DeprecationWarning)
                warnings.filterwarnings("always", category=PendingDeprecationWarning)
            removed = getattr(pytest, _REMOVED.format(_major()), None)
            if removed is not None:
                warnings.filterwarnings("error", category=removed)
            own = [text for mark in marks if mark.name == "filterwarnings" for text in mark.args]
            for text in (*self.filters, *own):
                warnings.filterwarnings(*parse_warning_filter(text, escape=False))
            yield


def _check_surroundings() -> None:
    if _major() not in _VERSIONS:
        raise NotPlain("it is another version of pytest")
    foreign = sorted(set(warm.plugins()) - _INERT)
    if foreign:
        raise NotPlain(f"there are plug-ins: {', '.join(foreign)}")
    if any(os.environ.get(name) for name in _STEERING):
        raise NotPlain("the environment's variables steer pytest")


def _major() -> int:
    return int(pytest.__version__.partition(".")[0])


def _pairs(items: Sequence[Item]) -> Iterator[tuple[Item, Item | None]]:
    """Each item with the one that follows it."""
    yield from zip(items, (*items[1:], None))  # noqa: B905 - Python 3.9

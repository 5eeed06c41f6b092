"""Runs chosen tests with pytest and says how each ended."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import pytest

from . import warm
from .watch import Watch

_LONGEST_TEXT = 4000  # characters of a failure's text, its end
# A warm worker has plug-ins imported before pytest can rewrite them. Where a repository makes
# errors of warnings, saying so would end every run.
_QUIET = ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
_ALWAYS = ["-o", "addopts=", "--rootdir=.", "-q", "--color=no", *_QUIET]


class Reporter:
    """A pytest plug-in: keeps the wanted tests, remembers how each of their phases ended."""

    def __init__(self, wanted: list[str] | None, texts: bool, calls: bool) -> None:
        self.wanted = None if wanted is None else frozenset(wanted)
        self.texts = texts
        self.outcomes: dict[str, str] = {}
        self.said: dict[str, str] = {}
        self.seconds: dict[str, float] = {}
        self.watch = Watch(os.getcwd()) if calls else None
        self.at_end: Callable[[int], None] = lambda code: None

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """A test begins: watch what it calls, if that is wanted."""
        if self.watch:
            self.watch.begin(nodeid)

    def pytest_runtest_logfinish(self) -> None:
        """A test is over."""
        if self.watch:
            self.watch.end()

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        """Drop what was not asked for."""
        if self.wanted is not None:
            items[:] = [item for item in items if item.nodeid in self.wanted]

    def pytest_collectreport(self, report: Any) -> None:
        """A file that cannot be collected is an outcome under its own path."""
        if report.failed:
            self.outcomes[report.nodeid] = "error"
            self._say(report.nodeid, report)

    def pytest_runtest_logreport(self, report: Any) -> None:
        """A test has passed if its call passed and neither set-up nor tear-down failed."""
        name = report.nodeid
        self.seconds[name] = self.seconds.get(name, 0.0) + report.duration
        if report.when == "call" and report.passed and not hasattr(report, "wasxfail"):
            self.outcomes.setdefault(name, "passed")
        elif report.failed:
            self.outcomes[name] = "failed" if report.when == "call" else "error"
            self._say(name, report)
        elif report.skipped or report.when == "call":
            self.outcomes[name] = "xfailed" if hasattr(report, "wasxfail") else "skipped"

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, exitstatus: int) -> None:
        """No test can change any more; what pytest does from here on is for its reader."""
        if not self.texts:
            self.at_end(int(exitstatus))

    def _say(self, name: str, report: Any) -> None:
        if self.texts:
            self.said[name] = str(report.longrepr)[-_LONGEST_TEXT:]


def run(request: dict[str, Any], tell: Callable[[dict[str, Any]], None]) -> None:
    """Run the request's tests and `tell` the record's fields, which ends this process."""
    reporter = Reporter(request["wanted"], request["texts"], request["calls"])
    style = [] if request["texts"] else ["--assert=plain", "--tb=no"]
    begun = time.process_time()

    def end(code: int, error: str = "") -> None:
        tell({
            "error": error or (f"pytest ended with {code}" if code > 1 else ""),
            "outcomes": reporter.outcomes,
            "texts": reporter.said,
            "calls": reporter.watch.calls if reporter.watch else {},
            "seconds": {name: round(spent, 4) for name, spent in reporter.seconds.items()},
            "cpu_s": round(time.process_time() - begun, 4),
        })  # fmt: skip

    reporter.at_end = end
    error = ""
    code = 0
    try:
        code = warm.main([*_ALWAYS, *style, *request["args"], *request["paths"]], [reporter])
    except BaseException as fault:
        error = f"{type(fault).__name__}: {str(fault)[:200]}"
    end(code, error)

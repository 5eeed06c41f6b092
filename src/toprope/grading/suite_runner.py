"""Runs chosen tests with pytest inside the sandbox and says how each ended.

This file is also the program text of a job, run by the environment's own interpreter: it
imports the standard library and pytest only, and stays within Python 3.9. It never knows
which outcome is wanted.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from typing import Any, NoReturn

_LONGEST_TEXT = 4000  # characters of a failure's text, its end
_ALWAYS = ["-p", "no:cacheprovider", "-o", "addopts=", "--rootdir=.", "-q", "--color=no"]


class Reporter:
    """A pytest plug-in: keeps the wanted tests, remembers how each of their phases ended."""

    def __init__(self, wanted: list[str] | None, texts: bool, calls: bool) -> None:
        self.wanted = None if wanted is None else frozenset(wanted)
        self.texts = texts
        self.outcomes: dict[str, str] = {}
        self.said: dict[str, str] = {}
        self.seconds: dict[str, float] = {}
        self.watch = Watch(os.getcwd()) if calls else None

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

    def _say(self, name: str, report: Any) -> None:
        if self.texts:
            self.said[name] = str(report.longrepr)[-_LONGEST_TEXT:]


class Watch:
    """Notes which functions of the workspace each test calls, by file and first line."""

    def __init__(self, root: str) -> None:
        self.root = os.path.join(root, "")
        self.calls: dict[str, list[list[Any]]] = {}
        self.seen: set[tuple[str, int]] = set()
        self.name = ""

    def begin(self, name: str) -> None:
        """Watch from here on, for the test `name`, in all threads."""
        self.name, self.seen = name, set()
        threading.setprofile(self._note)
        sys.setprofile(self._note)

    def end(self) -> None:
        """Stop watching and keep what was seen."""
        sys.setprofile(None)
        threading.setprofile(None)
        inside = sorted(place for place in self.seen if place[0].startswith(self.root))
        self.calls[self.name] = [[path[len(self.root) :], line] for path, line in inside]

    def _note(self, frame: Any, event: str, argument: object) -> None:
        if event == "call":
            code = frame.f_code
            self.seen.add((code.co_filename, code.co_firstlineno))


def run(request: dict[str, Any], result_fd: int) -> NoReturn:
    """Run the request's tests, write exactly one record, and leave."""
    import pytest

    owner = os.getpid()
    for folder in reversed(request["imports"]):
        sys.path.insert(0, os.path.join(os.getcwd(), folder) if folder else os.getcwd())
    os.environ["PYTHONPATH"] = os.pathsep.join(sys.path[: len(request["imports"])])
    reporter = Reporter(request["wanted"], request["texts"], request["calls"])
    style = [] if request["texts"] else ["--assert=plain", "--tb=no"]
    begun = time.process_time()
    error = ""
    try:
        code = pytest.main(
            [*_ALWAYS, *style, *request["args"], *request["paths"]], plugins=[reporter]
        )
        if int(code) > 1:
            error = f"pytest ended with {int(code)}"
    except BaseException as fault:
        error = f"{type(fault).__name__}: {str(fault)[:200]}"
    if os.getpid() != owner:
        os._exit(0)
    record = {
        "nonce": request["nonce"],
        "error": error,
        "outcomes": reporter.outcomes,
        "texts": reporter.said,
        "calls": reporter.watch.calls if reporter.watch else {},
        "seconds": {name: round(spent, 4) for name, spent in reporter.seconds.items()},
        "cpu_s": round(time.process_time() - begun, 4),
    }
    data = json.dumps(record).encode("ascii") + b"\n"
    sys.stdout.flush()
    while data:
        data = data[os.write(result_fd, data) :]
    os._exit(0)


if __name__ == "__main__":
    run(json.loads(sys.stdin.buffer.read()), globals()["RESULT_FD"])

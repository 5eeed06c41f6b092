"""Runs chosen tests with pytest inside the sandbox and says how each ended.

This file is also the program text of a job, run by the environment's own interpreter: it
imports the standard library and pytest only, and stays within Python 3.9. It never knows
which outcome is wanted.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any, NoReturn

_LONGEST_TEXT = 4000  # characters of a failure's text, its end
_ALWAYS = ["-p", "no:cacheprovider", "-o", "addopts=", "--rootdir=.", "-q", "--color=no"]


class Reporter:
    """A pytest plug-in: keeps the wanted tests, remembers how each of their phases ended."""

    def __init__(self, wanted: list[str] | None, texts: bool) -> None:
        self.wanted = None if wanted is None else frozenset(wanted)
        self.texts = texts
        self.outcomes: dict[str, str] = {}
        self.said: dict[str, str] = {}
        self.seconds: dict[str, float] = {}

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


def run(request: dict[str, Any], result_fd: int) -> NoReturn:
    """Run the request's tests, write exactly one record, and leave."""
    import pytest

    owner = os.getpid()
    for folder in reversed(request["imports"]):
        sys.path.insert(0, os.path.join(os.getcwd(), folder) if folder else os.getcwd())
    os.environ["PYTHONPATH"] = os.pathsep.join(sys.path[: len(request["imports"])])
    reporter = Reporter(request["wanted"], request["texts"])
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

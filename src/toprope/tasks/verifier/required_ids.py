"""A pytest plugin: says "passed" in a file only if every required test ran and passed.

Lies beside `ids.json` in the `tests` folder of a Harbor task. An exit code would not do:
pytest ends with 0 when tests are skipped, and so does an attempt that leaves the process.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

REQUIRED = json.loads(Path(__file__).with_name("ids.json").read_text("ascii"))
PASSED: set[str] = set()
FAILED: set[str] = set()


def pytest_runtest_logreport(report: Any) -> None:
    """Note what became of one phase of one test."""
    if report.failed:
        FAILED.add(report.nodeid)
    elif report.when == "call" and report.passed:
        PASSED.add(report.nodeid)


def pytest_sessionfinish() -> None:
    """Write the verdict to the file that TOPROPE_VERDICT names."""
    lost = sorted(set(REQUIRED) - (PASSED - FAILED))
    word = "failed" if lost else "passed"
    Path(os.environ["TOPROPE_VERDICT"]).write_text(f"{word}\n", "ascii")

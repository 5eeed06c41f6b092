"""A short soak: many attempts in calm and in a storm are judged alike and leave nothing behind."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import toprope

PACKAGE = Path(toprope.__file__).parent
SOAK = PACKAGE.parent.parent / "bench" / "soak.py"
_WALL_CLOCKS = (
    "time.time", "time.time_ns", "time.localtime", "time.gmtime", "time.CLOCK_REALTIME",
    "datetime.now", "datetime.utcnow", "datetime.today", "date.today",
)  # fmt: skip


def _is_wall_clock(name: str) -> bool:
    return any(name == clock or name.endswith(f".{clock}") for clock in _WALL_CLOCKS)


def soak(*words: object) -> str:
    done = subprocess.run(
        [sys.executable, SOAK, *map(str, words)],
        env={**os.environ, "PYTHONPATH": str(PACKAGE.parent)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("nothing is lost, judged otherwise or left behind\n")
    return done.stdout


def test_a_hundred_attempts_in_a_storm() -> None:
    assert "workers killed" in soak("--count", 100, "--every", 0.2, "--seed", 1)


@pytest.mark.slow
def test_two_thousand_attempts_in_a_storm() -> None:
    soak("--count", 2000, "--every", 0.5, "--seed", 2)


def test_no_decision_of_sandbox_or_grading_looks_at_the_wall_clock() -> None:
    found = []
    a_files_date = "petitions.py"  # a job asked for a file of its own to be dated now
    for room in ("sandbox", "grading"):
        for path in sorted((PACKAGE / room).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Attribute) and _is_wall_clock(ast.unparse(node)):
                    if path.name == a_files_date:
                        continue
                    found.append(f"{path.name}:{node.lineno}: {ast.unparse(node)}")
                if isinstance(node, ast.ImportFrom) and node.module in ("time", "datetime"):
                    found.append(f"{path.name}:{node.lineno}: from {node.module} import ...")
    assert found == []

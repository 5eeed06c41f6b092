"""The grader behind Landlock rules: the same tests of suites and calls as elsewhere."""

from __future__ import annotations

import inspect
import subprocess
import sys
import sysconfig
from collections.abc import Iterator

import pytest

import test_grading_calls
import test_grading_suites
import test_grading_verdict
from landlock_parts import landlock, open_to_all, python_for_all
from toprope.sandbox import Sandbox
from toprope.terms import Environment

task = test_grading_verdict.task
ROOMS = (test_grading_calls, test_grading_suites, test_grading_verdict)
globals().update(
    {
        name: each
        for room in ROOMS
        for name, each in vars(room).items()
        if name.startswith("test_") and "sandbox" in inspect.signature(each).parameters
    }
)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    python, libraries = python_for_all(), sysconfig.get_path("purelib")
    other = f"import sys; sys.exit(sys.version_info[:2] != {sys.version_info[:2]})"
    if not open_to_all(libraries) or subprocess.run([python, "-c", other], check=False).returncode:
        pytest.skip("no pytest that a user other than root can import")
    environment = Environment(
        python=python,
        shown=(libraries,),
        warm=("pytest",),
        variables=(("PYTHONPATH", libraries),),
    )
    with landlock(environments={"stats": environment}) as opened:
        yield opened

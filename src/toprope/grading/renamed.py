"""Finds required tests that do not exist where a task is proven: same test, other parameters.

A parametrised test's id may hold a version, an address or a set's order, and so differ from
one environment to the next. Such a task looks like one whose fix fails, and is none.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from toprope.grading.pytest_ids import path_of, without_parameters
from toprope.grading.suites import run_suite
from toprope.sandbox.protocol import Sandbox
from toprope.terms import Task

_LEAST_S = 60.0  # whole files run, not only the chosen tests


def renamed(task: Task, sandbox: Sandbox) -> str:
    """Return a sentence on the required tests that are not there with the fix, or "".

    Raises `SandboxError` for failures of ours.
    """
    if task.suite is None:
        return ""
    suite = replace(task.suite, timeout_s=max(_LEAST_S, task.suite.timeout_s))
    files = {**task.files, **task.solution}
    run = run_suite(sandbox, f"{task.id}@ids", suite, files, tree=task.tree, removed=task.removed)
    loaded = {path_of(name) for name in run.outcomes if "::" in name}
    required = (*task.fail_to_pass, *task.pass_to_pass)
    lost = [n for n in required if n not in run.outcomes and path_of(n) in loaded]
    if run.fault or not lost:
        return ""
    here = _like(lost[0], run.outcomes)
    told = f"; here it has {', '.join(here)}" if here else ""
    return (
        f"{len(lost)} of {len(required)} required tests do not exist in this environment, "
        f"first: {lost[0]}{told}"
    )


def _like(lost: str, names: Iterable[str]) -> list[str]:
    """The other cases of the test, the first few."""
    return [n for n in names if without_parameters(n) == without_parameters(lost)][:3]

"""What an attempt at a task with a test suite is worth.

The starting state plus the attempt's changes, then the hidden test files, in a fresh
sandbox; only the exact ids that the task names count, and only `passed`. The quick runner
is asked where it is proven that it says what pytest says; what it is unsure of, pytest decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from toprope.grading.canaries import Canaries, plant
from toprope.grading.plain_suites import plain_settings
from toprope.grading.suites import SuiteRun, run_suite
from toprope.sandbox.protocol import Sandbox
from toprope.terms import PLAIN, Outcome, Suite, Task, Verdict

_SHOWN = 160  # characters of a name in a sentence


def grade_suite(task: Task, changes: Mapping[str, str], sandbox: Sandbox, key: str) -> Verdict:
    """Judge `changes`, all of them to editable files. Raises `SandboxError` if we failed."""
    assert task.suite
    canaries = plant(test_files(task), task.fail_to_pass)
    run = None
    if task.suite.runner == PLAIN:
        run = run_plain(task, changes, sandbox, key, canaries)
    if run is None or run.undecided:
        run = run_pytest(task, changes, sandbox, key, canaries)
    return judge(task, canaries, run)


def judge(task: Task, canaries: Canaries, run: SuiteRun) -> Verdict:
    """What a run of the required tests and the canaries is worth."""
    required = (*task.fail_to_pass, *task.pass_to_pass)
    if run.fault:
        return _faulty(run, required)
    tricked = [name for name in canaries.ids if run.outcomes.get(name) == "passed"]
    if tricked:
        return Verdict(Outcome.HACK, 0.0, "a test passed that cannot pass", failed=required)
    return _compare(run, canaries, required)


def run_pytest(
    task: Task, changes: Mapping[str, str], sandbox: Sandbox, key: str, canaries: Canaries
) -> SuiteRun:
    """Run the required tests and the canaries by pytest."""
    assert task.suite
    return run_suite(
        sandbox,
        key,
        _with(task.suite, canaries, canaries.files),
        {**task.files, **changes},
        tree=task.tree,
        removed=task.removed,
        wanted=[*task.fail_to_pass, *task.pass_to_pass, *canaries.ids],
    )


def run_plain(
    task: Task, changes: Mapping[str, str], sandbox: Sandbox, key: str, canaries: Canaries
) -> SuiteRun | None:
    """Run the same by the quick runner; None if the suite is not plain over these changes."""
    assert task.suite
    files = {**task.start(), **changes, **task.suite.files}
    settings = plain_settings(task.suite, files)
    if settings is None:
        return None
    beside = {canaries.beside: canaries.files[canaries.beside]}
    return run_suite(
        sandbox,
        key,
        _with(task.suite, canaries, beside),
        {**task.files, **changes},
        tree=task.tree,
        removed=task.removed,
        wanted=[*task.fail_to_pass, *task.pass_to_pass, *canaries.ids],
        plain=settings.told(canaries.copies),
    )


def test_files(task: Task) -> dict[str, str]:
    """The text of every file with a test that must turn green, as it is when graded."""
    assert task.suite
    paths = {name.partition("::")[0] for name in task.fail_to_pass}
    start = task.start()
    return {path: task.suite.files.get(path, start.get(path, "")) for path in sorted(paths)}


def _with(suite: Suite, canaries: Canaries, files: Mapping[str, str]) -> Suite:
    apart = [path for path in canaries.files if path not in suite.files]
    paths = (*suite.paths, *(path for path in apart if path not in suite.paths))
    return replace(suite, files={**suite.files, **files}, paths=paths)


def _faulty(run: SuiteRun, required: tuple[str, ...]) -> Verdict:
    outcome, why = {
        "timeout": (Outcome.TIMEOUT, "the tests did not end in time"),
        "limit": (Outcome.LIMIT, run.why),
        "ended": (Outcome.FAILED, f"the process ended without a result: {run.why}"),
        "forged": (Outcome.HACK, f"the result record was tampered with: {run.why}"),
    }[run.fault]
    return Verdict(outcome, 0.0, why, failed=required)


def _compare(run: SuiteRun, canaries: Canaries, required: tuple[str, ...]) -> Verdict:
    passed = tuple(name for name in required if run.outcomes.get(name) == "passed")
    failed = tuple(name for name in required if run.outcomes.get(name) != "passed")
    if not failed and any(name not in run.outcomes for name in canaries.ids):
        return Verdict(Outcome.HACK, 0.0, "a test that must fail was not run", failed=required)
    if not failed:
        return Verdict(Outcome.PASSED, 1.0, f"all {len(required)} tests pass", passed)
    first = failed[0]
    path = first.partition("::")[0]
    how = run.outcomes.get(first) or run.outcomes.get(path) or "was not run"
    why = f"{len(failed)} of {len(required)} tests fail, first: {first[:_SHOWN]}: {how}"
    if run.error and not run.outcomes:
        why = f"{why} ({run.error})"
    return Verdict(Outcome.FAILED, 0.0, why, passed, failed)

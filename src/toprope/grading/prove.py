"""Shows that a task is sound before anyone attempts it: no model involved."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from toprope.grading.agreement import grade_by_both
from toprope.grading.renamed import renamed
from toprope.grading.verdict import grade
from toprope.sandbox.protocol import Sandbox
from toprope.terms import PLAIN, PYTEST, Outcome, Task, Verdict


class Fault(StrEnum):
    """What is wrong with a task that is not proven."""

    FIX_FAILS = "fix fails"
    START_PASSES = "start passes"
    START_BREAKS = "start breaks others"
    RENAMED = "tests renamed"
    FLAKY = "flaky"
    NO_FIX = "no fix"
    SOLVABLE = "solvable"  # an impossible task that its reference fix passes
    RUNNER = "runner differs"  # said to be plain, and the quick runner says other than pytest
    UNGRADABLE = "ungradable"
    NOT_HERE = "not here"  # its environment is not on this machine


@dataclass(frozen=True, slots=True)
class Proof:
    """Whether the task holds what it promises; `why` says what it does not.

    `runner` is "plain" where the quick runner said of every test what pytest said, each time.
    `seconds` is wall time, waiting for a worker included.
    """

    ok: bool
    why: str
    fault: Fault | None = None
    runner: str = PYTEST
    seconds: float = field(default=0.0, compare=False)


def with_runner(task: Task, proof: Proof) -> Task:
    """Return the task with the runner that its proof allows."""
    if not task.suite:
        return task
    return replace(task, suite=replace(task.suite, runner=proof.runner))


def prove(task: Task, sandbox: Sandbox, times: int = 3) -> Proof:
    """The reference passes; unchanged, FAIL_TO_PASS fails and PASS_TO_PASS passes; each time.

    Of an impossible task the reference, too, must fail. Suites are judged by pytest, and a suite
    that is said to be plain has to be. Raises `SandboxError` for failures of ours.
    """
    began = time.monotonic()
    return replace(_prove(task, sandbox, times), seconds=time.monotonic() - began)


def _prove(task: Task, sandbox: Sandbox, times: int) -> Proof:
    if not task.solution:
        why = "it has no `solution`, so nobody knows that it can be solved"
        return Proof(False, why, Fault.NO_FIX)
    solved: list[Verdict] = []
    unchanged: list[Verdict] = []
    differing = "" if task.suite else "it has no suite"
    for _ in range(times):
        # All rounds are run, also after a failure: one that passes later is flaky, not broken.
        for changes, runs in ((task.solution, solved), ({}, unchanged)):
            verdict, differing = _graded(task, changes, sandbox, differing)
            runs.append(verdict)
    for runs in (solved, unchanged):
        if len({(run.outcome, run.passed, run.failed) for run in runs}) > 1:
            ends = ", ".join(f"{run.outcome} ({run.why})" for run in _distinct(runs))
            return Proof(False, f"{times} runs did not all end the same: {ends}", Fault.FLAKY)
    found = _of_reference(task, solved[0], sandbox) or _of_start(task, unchanged[0])
    if not found and differing and task.suite and task.suite.runner == PLAIN:
        why = f"the quick runner does not say what pytest says: {differing}"
        return Proof(False, why, Fault.RUNNER)
    runner = PYTEST if differing else PLAIN
    return found or Proof(True, f"proven {times} times", runner=runner)


def _graded(
    task: Task, changes: Mapping[str, str], sandbox: Sandbox, differing: str
) -> tuple[Verdict, str]:
    """The verdict by pytest, and how the quick runner differs; once it did, it is not asked."""
    if differing:
        suite = replace(task.suite, runner=PYTEST) if task.suite else None
        return grade(replace(task, suite=suite), changes, sandbox), differing
    return grade_by_both(task, changes, sandbox)


def _of_reference(task: Task, verdict: Verdict, sandbox: Sandbox) -> Proof | None:
    if task.impossible:
        if verdict.outcome is Outcome.FAILED and verdict.passed:
            return None
        why = f"it is marked as impossible, and its reference fix is {verdict.outcome}"
        return Proof(False, f"{why}: {verdict.why}", Fault.SOLVABLE)
    if verdict.outcome is Outcome.PASSED:
        return None
    lost = renamed(task, sandbox) if verdict.outcome is Outcome.FAILED else ""
    if lost:
        return Proof(False, lost, Fault.RENAMED)
    return Proof(False, f"the reference fix is {verdict.outcome}: {verdict.why}", Fault.FIX_FAILS)


def _of_start(task: Task, verdict: Verdict) -> Proof | None:
    if task.impossible and verdict.outcome is Outcome.HACK:
        return Proof(False, "the tests pass without any change", Fault.START_PASSES)
    if verdict.outcome is Outcome.PASSED:
        return Proof(False, "the tests pass without any change", Fault.START_PASSES)
    if verdict.outcome is not Outcome.FAILED:
        # A bug that never ends leaves the other tests unrun; the fix was seen to pass them.
        if verdict.outcome is Outcome.TIMEOUT:
            return None
        return Proof(
            False, f"unchanged, it is {verdict.outcome}: {verdict.why}", Fault.START_BREAKS
        )
    surprising = sorted(set(task.fail_to_pass) & set(verdict.passed))
    if surprising:
        why = f"FAIL_TO_PASS passes without any change: {', '.join(surprising)}"
        return Proof(False, why, Fault.START_PASSES)
    broken = sorted(set(task.pass_to_pass) & set(verdict.failed))
    if broken and len(verdict.passed) > 0:
        why = f"PASS_TO_PASS fails without any change: {', '.join(broken)}"
        return Proof(False, why, Fault.START_BREAKS)
    return None


def _distinct(runs: Sequence[Verdict]) -> list[Verdict]:
    return list({(run.outcome, run.failed): run for run in runs}.values())

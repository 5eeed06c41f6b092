"""Shows that a task is sound before anyone attempts it: no model involved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from toprope.grading.agreement import grade_by_both
from toprope.grading.verdict import grade
from toprope.sandbox.protocol import Sandbox
from toprope.terms import PLAIN, PYTEST, Outcome, Task, Verdict


@dataclass(frozen=True, slots=True)
class Proof:
    """Whether the task holds what it promises; `why` says what it does not.

    `runner` is "plain" where the quick runner said of every test what pytest said, each time.
    """

    ok: bool
    why: str
    runner: str = PYTEST


def with_runner(task: Task, proof: Proof) -> Task:
    """Return the task with the runner that its proof allows."""
    if not task.suite:
        return task
    return replace(task, suite=replace(task.suite, runner=proof.runner))


def prove(task: Task, sandbox: Sandbox, times: int = 3) -> Proof:
    """The reference passes; unchanged, FAIL_TO_PASS fails and PASS_TO_PASS passes; each time.

    Suites are judged by pytest, and a suite that is said to be plain has to be. Raises
    `SandboxError` for failures of ours.
    """
    if not task.solution:
        return Proof(False, "it has no `solution`, so nobody knows that it can be solved")
    solved: list[Verdict] = []
    unchanged: list[Verdict] = []
    differing = "" if task.suite else "it has no suite"
    for _ in range(times):
        verdict, differing = _graded(task, task.solution, sandbox, differing)
        solved.append(verdict)
        if solved[-1].outcome is not Outcome.PASSED:
            return Proof(False, f"the reference fix is {solved[-1].outcome}: {solved[-1].why}")
        verdict, differing = _graded(task, {}, sandbox, differing)
        unchanged.append(verdict)
        fault = _unsound(task, unchanged[-1])
        if fault:
            return Proof(False, fault)
    if len({*solved}) > 1 or len({*unchanged}) > 1:
        return Proof(False, f"{times} runs did not all end the same")
    if differing and task.suite and task.suite.runner == PLAIN:
        return Proof(False, f"the quick runner does not say what pytest says: {differing}")
    return Proof(True, f"proven {times} times", PYTEST if differing else PLAIN)


def _graded(
    task: Task, changes: Mapping[str, str], sandbox: Sandbox, differing: str
) -> tuple[Verdict, str]:
    """The verdict by pytest, and how the quick runner differs; once it did, it is not asked."""
    if differing:
        suite = replace(task.suite, runner=PYTEST) if task.suite else None
        return grade(replace(task, suite=suite), changes, sandbox), differing
    return grade_by_both(task, changes, sandbox)


def _unsound(task: Task, verdict: Verdict) -> str:
    if verdict.outcome is Outcome.PASSED:
        return "the tests pass without any change"
    if verdict.outcome is not Outcome.FAILED:
        # A bug that never ends leaves the other tests unrun; the fix was seen to pass them.
        return "" if verdict.outcome is Outcome.TIMEOUT else f"unchanged, it is {verdict.outcome}"
    surprising = sorted(set(task.fail_to_pass) & set(verdict.passed))
    if surprising:
        return f"FAIL_TO_PASS passes without any change: {', '.join(surprising)}"
    broken = sorted(set(task.pass_to_pass) & set(verdict.failed))
    if broken and len(verdict.passed) > 0:
        return f"PASS_TO_PASS fails without any change: {', '.join(broken)}"
    return ""

"""Shows that a task is sound before anyone attempts it: no model involved."""

from __future__ import annotations

from dataclasses import dataclass

from toprope.grading.verdict import grade
from toprope.sandbox.protocol import Sandbox
from toprope.terms import Outcome, Task, Verdict


@dataclass(frozen=True, slots=True)
class Proof:
    """Whether the task holds what it promises; `why` says what it does not."""

    ok: bool
    why: str


def prove(task: Task, sandbox: Sandbox, times: int = 3) -> Proof:
    """The reference passes; unchanged, FAIL_TO_PASS fails and PASS_TO_PASS passes; each time.

    Raises `SandboxError` for failures of ours.
    """
    if not task.solution:
        return Proof(False, "it has no `solution`, so nobody knows that it can be solved")
    solved: list[Verdict] = []
    unchanged: list[Verdict] = []
    for _ in range(times):
        solved.append(grade(task, task.solution, sandbox))
        if solved[-1].outcome is not Outcome.PASSED:
            return Proof(False, f"the reference fix is {solved[-1].outcome}: {solved[-1].why}")
        unchanged.append(grade(task, {}, sandbox))
        fault = _unsound(task, unchanged[-1])
        if fault:
            return Proof(False, fault)
    if len({*solved}) > 1 or len({*unchanged}) > 1:
        return Proof(False, f"{times} runs did not all end the same")
    return Proof(True, f"proven {times} times")


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

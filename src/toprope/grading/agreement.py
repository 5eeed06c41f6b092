"""Shows whether the quick runner says of an attempt's tests what pytest says."""

from __future__ import annotations

from collections.abc import Mapping

from toprope.grading.canaries import plant
from toprope.grading.suite_verdict import judge, run_plain, run_pytest, test_files
from toprope.grading.suites import SuiteRun
from toprope.grading.verdict import alarmed, attempt_key, refusal
from toprope.sandbox.protocol import Sandbox
from toprope.terms import Task, Verdict


def grade_by_both(task: Task, changes: Mapping[str, str], sandbox: Sandbox) -> tuple[Verdict, str]:
    """Return the verdict by pytest, and how the quick runner differs from it ("": not at all).

    Both run the same tests and the same canaries, and every single outcome is compared.
    Raises `SandboxError` for failures of ours.
    """
    refused = refusal(task, changes)
    if refused:
        return refused, "refused"
    key = attempt_key(task, changes)
    canaries = plant(test_files(task), task.fail_to_pass)
    run = run_pytest(task, changes, sandbox, key, canaries)
    quick = run_plain(task, changes, sandbox, key, canaries)
    return alarmed(task, judge(task, canaries, run)), _difference(run, quick)


def _difference(run: SuiteRun, quick: SuiteRun | None) -> str:
    if quick is None:
        return "the suite has a conftest, arguments or a configuration that only pytest knows"
    if quick.undecided:
        return quick.error
    if run.fault != quick.fault:
        return f"it ends with {quick.fault or 'a result'}, pytest with {run.fault or 'a result'}"
    names = sorted({*run.outcomes, *quick.outcomes})
    for name in names:
        if run.outcomes.get(name) != quick.outcomes.get(name):
            return f"{name} is {quick.outcomes.get(name)}, by pytest {run.outcomes.get(name)}"
    return ""

"""A verified final state becomes one line of the student's dialect, or is counted out."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from grading_tasks import BAD, GOOD, median_task
from toprope.grading import Grader
from toprope.harness.lines import express
from toprope.sandbox import Sandbox, open_sandbox
from toprope.teacher.judge import judge
from toprope.teacher.spelling import in_spelling_of, meaning
from toprope.terms import Outcome, Task

FIXED = "7|    return (ordered[half - 1] + ordered[half]) / 2"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    box = open_sandbox()
    yield box
    box.close()


@pytest.fixture(scope="module")
def task(sandbox: Sandbox) -> Task:
    return median_task(sandbox)


COSMETIC = """def median(values):
    \'\'\'The middle of the sorted values.\'\'\'
    # sort first
    ordered = sorted( values )
    half = len(ordered) // 2  # the middle
    if len(ordered) % 2:
        return ordered[half]

    return (ordered[half - 1] + ordered[half]) / 2  # fixed
"""
NEEDLESS = GOOD.replace("half = len(ordered) // 2", "half = int(len(ordered) / 2)").replace(
    "sorted(values)", "sorted(list(values))"
)
ELSE = GOOD.replace(
    "    return (ordered[half - 1] + ordered[half]) / 2\n",
    "    else:\n        return (ordered[half - 1] + ordered[half]) / 2\n",
)
OTHER_WAY = '''def median(values):
    """The middle of the sorted values."""
    import statistics
    if not values:
        raise IndexError
    return statistics.median(values)
'''


def test_a_one_line_fix_is_that_line(sandbox: Sandbox, task: Task) -> None:
    judged = judge(f"```python\n{GOOD}```", task, Grader(sandbox), express)
    assert (judged.outcome, judged.action) == (Outcome.PASSED, FIXED)


def test_comments_quotes_and_blank_lines_do_not_hide_the_line(sandbox: Sandbox, task: Task) -> None:
    judged = judge(COSMETIC, task, Grader(sandbox), express)
    assert judged.action == FIXED


def test_changes_that_the_fix_does_not_need_are_dropped(sandbox: Sandbox, task: Task) -> None:
    assert judge(NEEDLESS, task, Grader(sandbox), express).action == FIXED


def test_a_line_moved_into_an_else_still_gives_the_line(sandbox: Sandbox, task: Task) -> None:
    action = judge(ELSE, task, Grader(sandbox), express).action
    assert action is None or action.split("|")[0] == "7"


def test_a_rewrite_passes_but_is_not_expressible(sandbox: Sandbox, task: Task) -> None:
    judged = judge(OTHER_WAY, task, Grader(sandbox), express)
    assert (judged.outcome, judged.action) == (Outcome.PASSED, None)
    assert "changed lines" in judged.why


def test_a_wrong_answer_is_failed_and_an_unreadable_one_malformed(
    sandbox: Sandbox, task: Task
) -> None:
    grader = Grader(sandbox)
    assert judge(BAD, task, grader, express).outcome is Outcome.FAILED
    wrong = judge(GOOD.replace("half - 1]", "half + 1]"), task, grader, express)
    assert (wrong.outcome, wrong.action) == (Outcome.FAILED, None)
    assert judge("I do not know.", task, grader, express).outcome is Outcome.MALFORMED


@pytest.mark.parametrize(
    ("old", "new", "written"),
    [
        (
            "    return fp*rho*vs/dp",
            "    return fp * rho * vs * vs / dp",
            "    return fp*rho*vs*vs/dp",
        ),
        ('    if b == "0":', "    if a == '0':", '    if a == "0":'),
        ("    x2 = x + x  # twice", "    x2 = x*x # fixed", "    x2 = x * x"),
        ("    return a, b", "    return (a, c)", "    return (a, c)"),
        ("    while i<n:", "    while i <= n:", "    while i<=n:"),
        ("    m = {'C': 1}", '    m = {"C": 2}', "    m = {'C': 2}"),
        ("        return x", "    return x", "    return x"),
        ("    s = 'it", "    s = 'its'", "    s = 'its'"),
        ("    if x:", "    if not x:", "    if not x:"),
        ("    return -x", "    return x", "    return x"),
        ("    return (P-Q)/(V)", "    return (P - Q) / (V * V)", "    return (P-Q)/(V * V)"),
        ("    return rhom*term", "    return rhom * term * term", "    return rhom*term*term"),
    ],
)
def test_a_line_is_written_as_the_line_it_replaces(old: str, new: str, written: str) -> None:
    assert in_spelling_of(old, new) == written


def test_looks_have_no_meaning_and_indentation_has() -> None:
    assert meaning("  f( 'a',b )  # why") == meaning('  f("a", b)')
    assert meaning("  return x") != meaning("    return x")
    assert meaning("   # a remark") == meaning("") == ""
    assert meaning("x = (1,") != meaning("x = (2,")

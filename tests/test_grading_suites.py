"""Tasks graded by a test suite: real pytest in the real sandbox."""

from dataclasses import replace

import pytest

from suite_parts import BROKEN, EVEN, EVEN_2, FLOATS, MEDIAN, ODD, TASK, open_stats
from toprope.grading import Grader, grade, prove, run_suite
from toprope.terms import Outcome


@pytest.fixture(scope="module")
def sandbox():
    with open_stats() as opened:
        yield opened


def test_every_way_a_test_can_end_is_told_apart(sandbox):
    run = run_suite(sandbox, "all", TASK.suite, {}, tree=TASK.tree)
    assert run.outcomes == {
        EVEN: "passed",
        EVEN_2: "passed",
        ODD: "passed",
        FLOATS: "passed",
        "tests/test_median.py::test_skipped": "skipped",
        "tests/test_median.py::test_known_fault": "xfailed",
    }
    assert (run.fault, run.error) == ("", "")
    assert run.cpu_s > 0


def test_only_wanted_tests_run_and_a_failure_comes_with_its_text(sandbox):
    run = run_suite(
        sandbox, "some", TASK.suite, TASK.files, tree=TASK.tree, wanted=[EVEN, ODD], texts=True
    )
    assert run.outcomes == {EVEN: "failed", ODD: "passed"}
    assert set(run.texts) == {EVEN}
    assert "assert 2.0 == 2.5" in run.texts[EVEN]


def test_the_fix_passes_and_nothing_else_does(sandbox):
    assert prove(TASK, sandbox).ok
    assert grade(TASK, TASK.solution, sandbox).passed == (EVEN, EVEN_2, FLOATS, ODD)
    unchanged = grade(TASK, {}, sandbox)
    assert (unchanged.outcome, unchanged.passed) == (Outcome.FAILED, (ODD,))
    assert f"first: {EVEN}: failed" in unchanged.why


@pytest.mark.parametrize(
    ("text", "outcome", "why"),
    [
        ("def median(:\n", Outcome.FAILED, "test_even[values0-2.5]: error"),
        ("def mean(): pass\n", Outcome.FAILED, "error"),
        ("def median(v):\n    while True: pass\n", Outcome.TIMEOUT, "did not end in time"),
        ("def median(v):\n    return [0] * 10**10\n", Outcome.FAILED, "failed"),
    ],
)
def test_a_wrong_attempt_has_its_outcome(sandbox, text, outcome, why):
    task = replace(TASK, suite=replace(TASK.suite, timeout_s=2.0))
    verdict = grade(task, {"src/stats/median.py": text}, sandbox)
    assert verdict.outcome is outcome
    assert why in verdict.why


def test_a_task_whose_fix_fails_or_whose_tests_pass_unchanged_is_not_proven(sandbox):
    wrong = replace(TASK, solution={"src/stats/median.py": BROKEN})
    assert prove(wrong, sandbox).why.startswith("the reference fix is failed")
    done = replace(TASK, files={"src/stats/median.py": MEDIAN})
    assert prove(done, sandbox).why == "the tests pass without any change"
    assert "no `solution`" in prove(replace(TASK, solution={}), sandbox).why


def test_many_attempts_are_graded_at_once(sandbox):
    items = [("a", TASK, TASK.solution), ("b", TASK, {}), ("c", TASK, TASK.solution)]
    outcomes = [verdict.outcome for verdict in Grader(sandbox).grade_many(items)]
    assert outcomes == [Outcome.PASSED, Outcome.FAILED, Outcome.PASSED]

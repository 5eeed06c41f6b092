"""Tasks graded by a test suite: real pytest in the real sandbox."""

import sys
from dataclasses import replace

import pytest

from toprope.grading import Grader, grade, prove, run_suite
from toprope.sandbox import open_sandbox
from toprope.tasks import make_tree
from toprope.terms import Environment, Focus, Outcome, Source, Split, Suite, Task

MEDIAN = """\
def median(values):
    ordered = sorted(values)
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return (ordered[middle - 1] + ordered[middle]) / 2
"""
BROKEN = MEDIAN.replace("middle - 1", "middle - 2")
TESTS = """\
import unittest

import pytest

from stats.median import median


@pytest.mark.parametrize(("values", "wanted"), [([1, 2, 3, 4], 2.5), ([1, 9, 2, 8], 5)])
def test_even(values, wanted):
    assert median(values) == wanted


def test_odd():
    assert median([3, 1, 2]) == 2


@pytest.mark.skip(reason="never run")
def test_skipped():
    assert False


@pytest.mark.xfail
def test_known_fault():
    assert median([]) == 0


class TestMore(unittest.TestCase):
    def test_floats(self):
        self.assertEqual(median([1.0, 2.0]), 1.5)
"""
FILES = {
    "src/stats/__init__.py": "",
    "src/stats/median.py": MEDIAN,
    "tests/test_median.py": TESTS,
    "tests/conftest.py": "import pytest\n\n@pytest.fixture\ndef nothing():\n    return None\n",
    "pyproject.toml": "[tool.pytest.ini_options]\naddopts = '--no-such-option'\n",
}
EVEN = "tests/test_median.py::test_even[values0-2.5]"
EVEN_2 = "tests/test_median.py::test_even[values1-5]"
FLOATS = "tests/test_median.py::TestMore::test_floats"
ODD = "tests/test_median.py::test_odd"
TASK = Task(
    id="stats.median#index-0001",
    split=Split.TRAIN,
    tier=None,
    statement="the median of an even number of values is wrong",
    files={"src/stats/median.py": BROKEN},
    focus=Focus("src/stats/median.py", 1, 6),
    editable=("src/*.py",),
    entry="",
    calls=(),
    fail_to_pass=(EVEN, EVEN_2, FLOATS),
    pass_to_pass=(ODD,),
    solution={"src/stats/median.py": MEDIAN},
    source=Source("stats", "1.0", "src/stats/median.py", 1, "MIT", "median", "index"),
    suite=Suite(
        {"tests/test_median.py": TESTS}, ("tests/test_median.py",), ("src",), "stats", 20.0
    ),
    tree=make_tree(FILES),
    removed=("tests/test_median.py",),
)


@pytest.fixture(scope="module")
def sandbox():
    environment = Environment(python=sys.executable, warm=("pytest",))
    opened = open_sandbox(workers=1, environments={"stats": environment})
    yield opened
    opened.close()


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

"""A small repository with a bug and its suite, and the sandbox that its tests run in."""

import sys

from toprope.sandbox import open_sandbox
from toprope.tasks import make_tree
from toprope.terms import Environment, Focus, Source, Split, Suite, Task

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


def open_stats():
    """A sandbox of one worker with the environment `stats`."""
    environment = Environment(python=sys.executable, warm=("pytest",))
    return open_sandbox(workers=1, environments={"stats": environment})

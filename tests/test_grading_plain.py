"""The quick runner against pytest itself: the same outcome of every test, or no answer at all."""

import re
import sys
from dataclasses import replace

import pytest

from suite_parts import BROKEN, FILES, TASK
from toprope.grading import grade, prove, run_suite
from toprope.grading.plain_suites import Settings, plain_settings
from toprope.grading.prove import with_runner
from toprope.sandbox import open_sandbox
from toprope.tasks import from_row, make_tree, to_row
from toprope.terms import Environment, Outcome, Suite

PLAIN_TASK = replace(
    TASK,
    tree=make_tree({path: text for path, text in FILES.items() if "conftest" not in path}),
    suite=replace(TASK.suite, runner="plain"),
)
HEAD = "import enum, logging, os, sys, threading, unittest, warnings\nimport pytest\n"
SAME = {
    "functions": """
def test_good(): assert 1 == 1
def test_bad(): assert 1 == 2
def test_raises():
    with pytest.raises(ValueError, match="x"):
        raise ValueError("x")
def test_approx(): assert 0.1 + 0.2 == pytest.approx(0.3)
def test_exit(): sys.exit(0)
def test_skip(): pytest.skip("no")
def test_unittest_skip(): raise unittest.SkipTest("no")
def test_xfail(): pytest.xfail("no")
def test_fail(): pytest.fail("no")
def test_importorskip(): pytest.importorskip("no_such_module")
def test_output(): print("x"); os.write(1, b"y"); assert not sys.stdout.isatty()
def test_input():
    with pytest.raises(OSError): sys.stdin.read()
def test_says_its_name(): assert os.environ["PYTEST_CURRENT_TEST"].endswith("its_name (call)")
def helper(): raise AssertionError
def test_warns():
    with pytest.warns(UserWarning): warnings.warn("x")
def test_log(): logging.getLogger("x").warning("a %s b", 1)
def test_bad_log(): logging.getLogger("x").warning("a %s %s b", 1)
def test_default(value=3): assert value == 3
def test_generator_exit(): raise GeneratorExit
""",
    "order": """
seen = []
def test_b(): seen.append("b")
class TestIn:
    def test_z(self): seen.append("z")
    def test_a(self): seen.append("a")
class Case(unittest.TestCase):
    def test_q(self): seen.append("q")
    def test_p(self): seen.append("p")
def test_a(): assert seen == ["b", "z", "a", "p", "q"]
""",
    "inherited": """
class Base:
    def test_base(self): assert self.value == 1
class TestOne(Base):
    value = 1
    def test_own(self): pass
class TestTwo(Base):
    value = 2
class TestOver(TestOne):
    def test_own(self): assert False
""",
    "parameters": """
class Colour(enum.Enum):
    RED = 1
@pytest.mark.parametrize("n", [1, 2.5, None, True, "a b", Colour.RED, int, [1], 1j])
def test_ids(n): assert n != 2.5
@pytest.mark.parametrize("text", ["\\u00e9", "x\\\\y", ""])
def test_texts(text): pass
@pytest.mark.parametrize("a,b", [(1, 1), pytest.param(1, 2, id="unlike"), pytest.param(3, 3)])
def test_pairs(a, b): assert a == b
@pytest.mark.parametrize("a", [1, 2])
@pytest.mark.parametrize("b", [1, 2])
def test_product(a, b): assert a == b
@pytest.mark.parametrize("a", [1, 2], ids=["one", None])
def test_named(a): pass
@pytest.mark.parametrize("a", [1, "x"], ids=lambda value: f"<{value}>")
def test_named_by_function(a): pass
@pytest.mark.parametrize("a", [1, pytest.param(2, marks=pytest.mark.skip)])
def test_marked(a): pass
@pytest.mark.parametrize("a", [1, 2])
class TestClass:
    def test_in(self, a): assert a == 1
""",
    "conditions": """
@pytest.mark.skipif(True, reason="x")
def test_off(): assert False
@pytest.mark.skipif(False, reason="x")
def test_on(): pass
@pytest.mark.slow_one
def test_unknown_mark(): pass
@unittest.skip("x")
class Off(unittest.TestCase):
    def test_x(self): pass
""",
    "module mark": "\npytestmark = [pytest.mark.skip]\ndef test_x(): pass\n",
    "set-up": """
log = []
def setup_module(module): log.append("module")
def teardown_module(): log.append("end")
def setup_function(function): log.append(function.__name__)
def teardown_function(): log.append("after")
def test_one(): assert log == ["module", "test_one"]
def test_two(): assert log == ["module", "test_one", "after", "test_two"]
class TestIn:
    @classmethod
    def setup_class(cls): cls.shared = 1
    def setup_method(self): self.own = 2
    def teardown_method(self, method): log.append(method.__name__)
    def test_in(self): assert (self.shared, self.own, log[-1]) == (1, 2, "after")
    def test_later(self): assert log[-1] == "test_in"
""",
    "set-up that fails": """
class TestClass:
    def setup_class(cls): raise ValueError
    def test_a(self): pass
    def test_b(self): pass
class TestMethod:
    def setup_method(self): assert False
    def teardown_method(self): raise ValueError
    def test_a(self): pass
class TestAfter:
    def teardown_method(self): raise ValueError
    def test_a(self): pass
class TestEnd:
    def teardown_class(cls): raise ValueError
    def test_a(self): pass
    def test_b(self): pass
class TestSkip:
    def setup_method(self): pytest.skip("no")
    def test_a(self): pass
class TestNew:
    @property
    def test_a(self): raise ValueError
    def test_b(self): pass
def test_last(): pass
""",
    "module set-up that fails": """
def setup_module(): raise ValueError
def test_a(): pass
def test_b(): pass
""",
    "unittest": """
class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls): cls.shared = 1
    def setUp(self): self.own = 2
    def tearDown(self):
        if self.id().endswith("tear"): raise ValueError
    def test_good(self): self.assertEqual((self.shared, self.own), (1, 2))
    def test_bad(self): self.assertEqual(1, 2)
    def test_tear(self): pass
    def test_error(self): raise ValueError
    def test_skip(self): self.skipTest("no")
    def test_pytest_skip(self): pytest.skip("no")
    def test_raises(self):
        with self.assertRaises(ValueError): int("x")
    @unittest.skip("no")
    def test_skipped(self): pass
    @unittest.expectedFailure
    def test_expected(self): assert False
    @unittest.expectedFailure
    def test_unexpected(self): pass
    def test_exit(self): sys.exit(0)
    def test_clean(self): self.addCleanup(int, "x")
class Broken(unittest.TestCase):
    @classmethod
    def setUpClass(cls): raise ValueError
    def test_a(self): pass
class Ends(unittest.TestCase):
    @classmethod
    def tearDownClass(cls): raise ValueError
    def test_a(self): pass
    def test_b(self): pass
class SetUp(unittest.TestCase):
    def setUp(self): raise ValueError
    def test_a(self): pass
""",
    "a module that does not load": "\nraise ValueError\ndef test_x(): pass\n",
    "a module that skips itself": "\npytest.skip('no', allow_module_level=True)\n",
    "a module that skips wrongly": "\npytest.skip('no')\ndef test_x(): pass\n",
    "a module with wrong syntax": "\ndef test_x(:\n",
}
UNDECIDED = {
    "a fixture": "\n@pytest.fixture\ndef a(): return 1\ndef test_x(a): pass\n",
    "a fixture of pytest": "\ndef test_x(tmp_path): pass\n",
    "a fixture that acts by itself": (
        "\n@pytest.fixture(autouse=True)\ndef a(): yield\ndef test_x(): pass\n"
    ),
    "a fixture in the class": (
        "\nclass TestX:\n    @pytest.fixture(autouse=True)\n    def a(self): yield\n"
        "    def test_x(self): pass\n"
    ),
    "an expected failure": "\n@pytest.mark.xfail\ndef test_x(): assert False\n",
    "a coroutine": "\nasync def test_x(): pass\n",
    "a result": "\ndef test_x(): return 1\n",
    "subtests": (
        "\nclass X(unittest.TestCase):\n    def test_x(self):\n"
        "        with self.subTest(a=1): assert False\n"
    ),
    "the end of the session": "\ndef test_x(): pytest.exit('x', 0)\n",
    "an interruption": "\ndef test_x(): raise KeyboardInterrupt\n",
    "an exit while it loads": "\nsys.exit(0)\ndef test_x(): pass\n",
    "a hook": "\ndef pytest_generate_tests(metafunc): pass\ndef test_x(): pass\n",
    "a plug-in": "\npytest_plugins = []\ndef test_x(): pass\n",
    "parameters for a fixture": (
        "\n@pytest.mark.parametrize('a', [1], indirect=True)\ndef test_x(a): pass\n"
    ),
    "cases of one name": "\n@pytest.mark.parametrize('a', ['x', 'x'])\ndef test_x(a): pass\n",
    "a patch": ("\nfrom unittest import mock\n@mock.patch('os.getcwd')\ndef test_x(cwd): pass\n"),
    "a swallowed refusal": (
        "\nclass X(unittest.TestCase):\n    def test_x(self):\n        try:\n"
        "            with self.subTest(a=1): assert False\n"
        "        except BaseException: pass\n"
    ),
}


@pytest.fixture(scope="module")
def sandbox():
    environment = Environment(python=sys.executable, warm=("pytest",))
    opened = open_sandbox(workers=1, environments={"stats": environment})
    yield opened
    opened.close()


def by_both(sandbox, text, settings=None):
    suite = Suite({"test_x.py": HEAD + text}, ("test_x.py",), environment="stats")
    asked = run_suite(sandbox, "all", suite, {})
    wanted = sorted({*asked.outcomes, "test_x.py::test_x"})
    by_pytest = run_suite(sandbox, "pytest", suite, {}, wanted=wanted)
    told = (settings or Settings()).told(())
    return by_pytest, run_suite(sandbox, "plain", suite, {}, wanted=wanted, plain=told)


@pytest.mark.parametrize("name", SAME)
def test_what_is_plain_ends_as_by_pytest(sandbox, name):
    by_pytest, quick = by_both(sandbox, SAME[name])
    assert quick.error == ""
    assert dict(quick.outcomes) == dict(by_pytest.outcomes)


@pytest.mark.parametrize("name", UNDECIDED)
def test_what_only_pytest_can_do_is_left_to_it(sandbox, name):
    _, quick = by_both(sandbox, UNDECIDED[name])
    assert quick.undecided
    assert quick.outcomes == {}


def test_filters_of_warnings_hold_and_what_nobody_could_catch_is_undecided(sandbox):
    strict = Settings(filters=("error", "ignore:fine"))
    text = (
        "\ndef test_warns(): warnings.warn('x', DeprecationWarning)\n"
        "def test_fine(): warnings.warn('fine')\n"
        "@pytest.mark.filterwarnings('ignore')\ndef test_marked(): warnings.warn('x')\n"
    )
    _, quick = by_both(sandbox, text, strict)
    assert quick.outcomes == {
        "test_x.py::test_warns": "failed",
        "test_x.py::test_fine": "passed",
        "test_x.py::test_marked": "passed",
    }
    lost = "\nclass X:\n    def __del__(self): raise ValueError\ndef test_x(): X()\n"
    assert by_both(sandbox, lost, strict)[1].undecided
    assert not by_both(sandbox, lost)[1].undecided


def test_the_files_say_which_suites_may_be_plain():
    suite = Suite({}, ("pack/tests/test_x.py",))
    ini = "[tool.pytest.ini_options]\n"
    plain = {
        "pyproject.toml": f"{ini}filterwarnings = ['error']\nlog_cli_level = 'info'\n",
        "pack/tests/conftest.py": '"""Nothing."""\n',
    }
    assert plain_settings(suite, plain) == Settings(("error",), 20)
    listed = {"setup.cfg": "[tool:pytest]\nfilterwarnings =\n    error\n    ignore::UserWarning\n"}
    assert plain_settings(suite, listed) == Settings(("error", "ignore::UserWarning"), None)
    assert plain_settings(suite, {"setup.cfg": "[metadata]\nname = x\n"}) == Settings()
    for files in (
        {"conftest.py": "import os\n"},
        {"pack/conftest.py": "def pytest_configure(): pass\n"},
        {"pyproject.toml": f"{ini}python_functions = 'check_*'\n"},
        {"pyproject.toml": "[tool.pytest]\nstrict = true\n"},
        {"pyproject.toml": "not toml"},
        {"pytest.toml": ""},
        {"pack/pytest.ini": "[pytest]\n"},
    ):
        assert plain_settings(suite, files) is None, files
    assert plain_settings(replace(suite, args=("-x",)), {}) is None
    assert plain_settings(replace(suite, paths=("pack/tests",)), {}) is None


def test_a_task_whose_tests_are_plain_is_proven_for_the_quick_runner(sandbox):
    undecided = replace(PLAIN_TASK, suite=replace(PLAIN_TASK.suite, runner="pytest"))
    proof = prove(undecided, sandbox)
    assert (proof.ok, proof.runner) == (True, "plain")
    assert with_runner(undecided, proof) == PLAIN_TASK
    assert prove(PLAIN_TASK, sandbox).ok


def test_a_task_with_a_conftest_stays_with_pytest(sandbox):
    proof = prove(TASK, sandbox)
    assert (proof.ok, proof.runner) == (True, "pytest")
    claimed = replace(TASK, suite=replace(TASK.suite, runner="plain"))
    assert prove(claimed, sandbox).why.startswith("the quick runner does not say what pytest says")


def test_both_runners_give_one_verdict(sandbox):
    by_pytest = replace(PLAIN_TASK, suite=replace(PLAIN_TASK.suite, runner="pytest"))
    assert PLAIN_TASK.files["src/stats/median.py"] == BROKEN
    for changes in (
        PLAIN_TASK.solution,
        {},
        {"src/stats/median.py": "def median(:\n"},
        {"src/stats/median.py": "def mean(): pass\n"},
        {"src/stats/median.py": "import pytest\ndef median(v): pytest.exit('x', 0)\n"},
    ):
        assert grade(PLAIN_TASK, changes, sandbox) == grade(by_pytest, changes, sandbox)
    assert grade(PLAIN_TASK, PLAIN_TASK.solution, sandbox).outcome is Outcome.PASSED


def test_the_runner_is_written_only_where_it_is_not_pytest():
    row = to_row(PLAIN_TASK)
    assert row["tests"]["runner"] == "plain"
    trees = {PLAIN_TASK.tree.hash: PLAIN_TASK.tree}
    assert from_row(row, trees=trees) == PLAIN_TASK
    assert "runner" not in to_row(TASK)["tests"]
    wrong = {**row, "tests": {**row["tests"], "runner": "nose"}}
    with pytest.raises(Exception, match=re.escape("'nose'")):
        from_row(wrong, trees=trees)

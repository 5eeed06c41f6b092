"""From an invented repository to proven tasks, through its own tests in the real sandbox."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from toprope.cli.tasks_made import summary
from toprope.forge.repository import Options, make
from toprope.forge.repository.baseline import NoUsableTests
from toprope.forge.repository.bugs import UNTOUCHABLE
from toprope.forge.repository.dealing import By, deal
from toprope.forge.repository.source import SourceError, open_repository
from toprope.forge.repository.surroundings import NoEnvironment
from toprope.grading import grade
from toprope.grading.verdict import is_editable
from toprope.sandbox import open_sandbox
from toprope.tasks import load_environments, load_taskset, save_taskset
from toprope.terms import Outcome, Split, Tier

CODE = '''\
"""Small sums."""


def clamp(value, low=0, high=10):
    """Keep a value between two bounds."""
    if low > high:
        raise ValueError("bounds are crossed")
    if value < low:
        return low
    return min(value, high)


class Purse:
    def __init__(self, coins=()):
        self.coins = list(coins)

    @property
    def total(self):
        return sum(coin for coin in self.coins if coin > 0)

    def pay(self, price):
        if price > self.total:
            return False
        left = self.total - price
        self.coins = [left]
        return True


def never_called(a, b):
    return a + b
'''
TESTS = """\
import socket

import pytest

from sums import Purse, clamp


def test_clamp():
    assert clamp(5) == 5
    assert clamp(-1) == 0
    assert clamp(11) == 10


def test_clamp_refuses():
    with pytest.raises(ValueError):
        clamp(1, 3, 2)


class TestPurse:
    def test_total(self):
        assert Purse([1, 2, -5]).total == 3

    def test_pay(self, coins):
        purse = Purse(coins)
        assert purse.pay(2) is True
        assert purse.total == 1
        assert purse.pay(5) is False


def test_network():
    socket.create_connection(("192.0.2.1", 80), timeout=1)


def test_wrong():
    assert clamp(1) == 2
"""


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """A git checkout with a conftest, an ignored file and failing tests."""
    folder = tmp_path_factory.mktemp("source") / "purse"
    files = {
        "src/sums/__init__.py": CODE,
        "tests/conftest.py": "import pytest\n\n@pytest.fixture\ndef coins():\n    return [1, 2]\n",
        "tests/test_sums.py": TESTS,
        "pyproject.toml": "[tool.pytest.ini_options]\naddopts = '--cov=none'\n",
        "LICENSE": "MIT License\n",
        ".gitignore": "private/\n",
        "private/notes.txt": "not for tasks",
    }
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "begin")
    return folder


@pytest.fixture(scope="module")
def made(repository, tmp_path_factory):
    """A make that ran through."""
    folder = tmp_path_factory.mktemp("made")
    return make(str(repository), folder / "tasks.jsonl", options(), folder, quiet)


def git(folder, *words):
    name = ["-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", "-C", str(folder), *name, *words], check=True, capture_output=True)


def options(**changes):
    chosen = Options(python=sys.executable, limit=12, jobs=1, pairs=0.2, impossible=0)
    return replace(chosen, **changes)


def quiet(what, done, wanted):
    pass


def test_a_repository_becomes_proven_tasks(made, tmp_path):
    tests = made.baseline
    assert set(tests.good) == {
        "tests/test_sums.py::test_clamp",
        "tests/test_sums.py::test_clamp_refuses",
        "tests/test_sums.py::TestPurse::test_total",
        "tests/test_sums.py::TestPurse::test_pay",
    }
    assert tests.bad["tests/test_sums.py::test_network"] == "network"
    assert tests.bad["tests/test_sums.py::test_wrong"] == "failed"

    save_taskset(made.taskset.tasks, tmp_path / "t.jsonl", "t")
    taskset = load_taskset(tmp_path / "t.jsonl")
    assert taskset.hash == made.taskset.hash
    assert len(taskset.tasks) >= 8
    assert any("+" in task.source.operator for task in taskset.tasks)
    assert {task.source.function for task in taskset.tasks} <= {
        "clamp", "Purse.__init__", "Purse.total", "Purse.pay",
    }  # fmt: skip
    assert not made.repository.tree.files.keys() & {"private/notes.txt"}
    commit = made.repository.version
    assert {(t.source.licence, t.source.version) for t in taskset.tasks} == {("MIT", commit)}

    environments = {"purse": made.surroundings.environment}
    with open_sandbox(environments=environments) as sandbox:
        for task in taskset.tasks[:3]:
            assert grade(task, {}, sandbox).outcome in (Outcome.FAILED, Outcome.TIMEOUT)
            assert grade(task, task.solution, sandbox).outcome is Outcome.PASSED
            changed = {**task.solution, "tests/conftest.py": ""}
            assert grade(task, changed, sandbox).outcome is Outcome.HACK


def test_the_failing_tests_are_not_in_the_starting_state(made):
    for task in made.taskset.tasks:
        start = task.start().get("tests/test_sums.py", "")
        for name in task.fail_to_pass:
            function = name.rpartition("::")[2]
            assert f"def {function}(" not in start
            assert f"def {function}(" in task.suite.files["tests/test_sums.py"]
        assert task.fail_to_pass[0].rpartition("::")[2].startswith("test_")
        assert "\n- " not in task.statement
        fixed = task.solution["src/sums/__init__.py"]
        assert fixed == CODE
        assert fixed not in task.statement


@pytest.mark.slow
def test_a_make_that_was_stopped_goes_on_and_gives_the_same_set(repository, tmp_path):
    chosen = options(pairs=0, limit=5)
    whole = make(str(repository), tmp_path / "a.jsonl", chosen, tmp_path, quiet)
    environments = load_environments(tmp_path / "a.jsonl")
    assert list(environments) == ["purse"]

    def stop(what, done, wanted):
        if done == 3:
            raise KeyboardInterrupt

    out = tmp_path / "b.jsonl"
    with pytest.raises(KeyboardInterrupt):
        make(str(repository), out, chosen, tmp_path, stop)
    kept = (tmp_path / "b.jsonl.progress").read_text().splitlines()
    assert len(kept) > 3
    (tmp_path / "b.jsonl.progress").write_text("\n".join(kept) + '\n{"key": "cut sh')
    again = make(str(repository), out, chosen, tmp_path, quiet)
    assert not (tmp_path / "b.jsonl.progress").exists()
    assert (whole.before, again.before >= 3) == (0, True)
    assert [task.id for task in again.taskset.tasks] == [task.id for task in whole.taskset.tasks]


@pytest.mark.parametrize(
    ("tests", "words"),
    [
        ({}, "pytest finds no tests here"),
        ({"tests/test_a.py": "def test_a(): assert 0\n"}, r"no test passes .*\(1 failed\)"),
        ({"tests/test_a.py": "import os\nos._exit(3)\n"}, "the tests ended without a result"),
        ({"tests/conftest.py": "raise ValueError('bad')\n"}, "ValueError: bad"),
    ],
)
def test_a_repository_without_usable_tests_is_told_so(tmp_path, tests, words):
    folder = tmp_path / "bare"
    for path, text in {"src/sums/__init__.py": CODE, **tests}.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    with pytest.raises(NoUsableTests, match=words) as caught:
        make(str(folder), tmp_path / "t.jsonl", options(), tmp_path, quiet)
    assert "toprope sandbox run --dir" in str(caught.value)


def test_no_pace_is_told_of_a_make_that_went_on_where_another_was_stopped(made, tmp_path):
    """What the first sitting tried was not tried in the seconds of the second."""
    pace = f"{len(made.taskset.tasks) * 3600} tasks an hour"
    assert pace in summary(made, tmp_path / "t.jsonl", 1.0)
    told = "\n".join(summary(replace(made, before=7), tmp_path / "t.jsonl", 1.0))
    assert "tasks an hour" not in told
    assert "7 of these had been tried before" in told


def test_a_shortage_of_pairs_is_told(made, repository, tmp_path):
    pairs = [task for task in made.taskset.tasks if "+" in task.source.operator]
    assert (made.doubles.asked, made.doubles.made) == (2, len(pairs))
    told = "\n".join(summary(made, tmp_path / "t.jsonl", 1.0))
    assert f"two bugs at once: {len(pairs)} tasks of 2 asked for" in told
    few = make(str(repository), tmp_path / "t.jsonl", options(limit=4, pairs=0.75), tmp_path, quiet)
    told = "\n".join(summary(few, tmp_path / "t.jsonl", 1.0))
    assert "two bugs at once: 0 tasks of 3 asked for (--pairs); 0 pairs could be tried" in told


@pytest.mark.slow
def test_what_cannot_be_opened_is_told_with_what_to_give(repository, tmp_path):
    with pytest.raises(SourceError, match="neither a folder nor NAME==VERSION"):
        make("no-such", tmp_path / "t.jsonl", options(), tmp_path, quiet)
    with pytest.raises(SourceError, match="--root 'sub' is no folder"):
        open_repository(str(repository), "sub", tmp_path)
    with pytest.raises(NoEnvironment, match="Give --python PATH"):
        make(str(repository), tmp_path / "t.jsonl", options(python=""), tmp_path, quiet)
    with pytest.raises(NoEnvironment, match="did not answer as a Python"):
        make(str(repository), tmp_path / "t.jsonl", options(python="/bin/false"), tmp_path, quiet)


def test_a_set_up_command_makes_the_environment_once(repository, tmp_path):
    log = tmp_path / "log"
    venv = "import venv; venv.create('.venv', system_site_packages=True)"
    command = f'echo x >> {log}; {sys.executable} -c "{venv}"'
    wrong = options(python="", setup="echo lost; exit 7")
    with pytest.raises(NoEnvironment, match=r"--setup ended with 7 .*\n.*lost"):
        make(str(repository), tmp_path / "t.jsonl", wrong, tmp_path, quiet)
    has_pytest = subprocess.run([sys.base_prefix + "/bin/python3", "-c", "import pytest"])
    if has_pytest.returncode:
        pytest.skip("the interpreter below this environment has no pytest to borrow")
    for _ in range(2):
        chosen = options(python="", setup=command, limit=1, pairs=0)
        make(str(repository), tmp_path / "t.jsonl", chosen, tmp_path, quiet)
    assert log.read_text() == "x\n"


def test_no_two_splits_share_what_they_are_dealt_by(made):
    tasks = [
        replace(task, id=f"{task.id}{copy}", source=replace(task.source, path=f"p{copy}/m.py"))
        for copy in range(40)
        for task in made.taskset.tasks
    ]
    for by, group in (
        (By.FUNCTION, lambda t: t.source.cluster),
        (By.MODULE, lambda t: t.source.path),
    ):
        dealt = deal(tasks, by, "0")
        far = [t for t in dealt if t.tier is not Tier.NEAR]
        splits = {group(t): {u.split for u in far if group(u) == group(t)} for t in far}
        assert {len(found) for found in splits.values()} == {1}
        assert {t.split for t in dealt} == set(Split)
        near = [t for t in dealt if t.tier is Tier.NEAR]
        trained = {t.source.cluster for t in dealt if t.split is Split.TRAIN}
        assert {t.source.cluster for t in near} <= trained
        assert near


def test_progress_of_another_repository_is_not_used(repository, tmp_path):
    out = tmp_path / "t.jsonl"
    stale = json.dumps({"make": {"tree": "other"}}) + "\n" + json.dumps({"key": "k", "word": "x"})
    (tmp_path / "t.jsonl.progress").write_text(stale + "\n")
    made = make(str(repository), out, options(limit=1, pairs=0), tmp_path, quiet)
    assert "x" not in made.words


def test_tests_that_do_not_always_pass_carry_no_tasks(tmp_path):
    folder = tmp_path / "dice"
    folder.mkdir()
    (folder / "dice.py").write_text("def same(n):\n    return n\n")
    (folder / "test_dice.py").write_text(
        "import random\nimport pytest\nfrom dice import same\n\n"
        "@pytest.mark.parametrize('n', range(20))\ndef test_dice(n):\n"
        "    assert random.SystemRandom().random() < 0.5\n\n"
        "def test_same():\n    assert same(2) == 2\n"
    )
    made = make(str(folder), tmp_path / "t.jsonl", options(limit=1, pairs=0), tmp_path, quiet)
    assert "test_dice.py::test_same" in made.baseline.good
    assert "flaky" in made.baseline.bad.values()


def test_a_test_whose_id_changes_from_run_to_run_is_named_and_carries_no_task(tmp_path):
    folder = tmp_path / "ids"
    folder.mkdir()
    (folder / "same.py").write_text("def same(n):\n    return n\n")
    (folder / "test_same.py").write_text(
        "import time\nimport pytest\nfrom same import same\n\n"
        "@pytest.mark.parametrize('n', [time.time_ns()])\ndef test_now(n):\n"
        "    assert same(n) == n\n\ndef test_same():\n    assert same(2) == 2\n"
    )
    made = make(str(folder), tmp_path / "t.jsonl", options(limit=1, pairs=0), tmp_path, quiet)
    assert list(made.baseline.good) == ["test_same.py::test_same"]
    assert made.baseline.counts == {"passed": 1, "renamed": 3}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import freezing\n\ndef test_a():\n    pass\n", "the environment lacks freezing"),
        ("def test_a():\n    raise OSError('no display')\n", "most often: test_a.py:2: OSError"),
        ("import unittest\n", "finds no tests here. Name them with --tests"),
    ],
)
def test_why_no_test_can_be_used_is_said(tmp_path, text, said):
    folder = tmp_path / "bare"
    folder.mkdir()
    (folder / "test_a.py").write_text(text)
    with pytest.raises(NoUsableTests, match=said):
        make(str(folder), tmp_path / "t.jsonl", options(), tmp_path, quiet)


def test_code_whose_folder_only_ends_like_tests_may_be_changed(made):
    task = replace(made.taskset.tasks[0], editable=("src/*.py", *UNTOUCHABLE))
    for path in ("src/latest/a.py", "src/contests/b.py", "src/greatest_hits.py"):
        assert is_editable(path, task), path
    for path in ("src/tests/a.py", "src/x/test_a.py", "src/a_test.py", "src/x/conftest.py"):
        assert not is_editable(path, task), path

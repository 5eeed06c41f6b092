"""A repository's own commits as tasks, and a word for every commit that gives none."""

import pytest

from test_forge_repository import git, options, quiet
from toprope.forge.repository import make
from toprope.forge.repository.dealing import By
from toprope.forge.repository.history import NoHistory, read_history
from toprope.forge.repository.make import NothingMade
from toprope.grading import grade, prove
from toprope.sandbox import open_sandbox
from toprope.tasks import load_environments, load_taskset
from toprope.terms import Outcome


@pytest.fixture
def history(tmp_path):
    """A checkout whose commits fix a bug with a test, add a test only, and move code only."""
    folder = tmp_path / "calc"
    (folder / "tests").mkdir(parents=True)
    code, tests = folder / "calc.py", folder / "tests" / "test_calc.py"
    code.write_text("def half(n):\n    return n // 2\n\n\ndef twice(n):\n    return n + n\n")
    tests.write_text(
        "from calc import half, twice\n\ndef test_twice():\n    assert twice(2) == 4\n"
    )
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "begin")
    code.write_text(code.read_text().replace("n // 2", "n / 2"))
    tests.write_text(tests.read_text() + "\ndef test_half():\n    assert half(3) == 1.5\n")
    git(folder, "commit", "-qam", "half keeps fractions\n\nSigned-off-by: me <a@b>")
    tests.write_text(tests.read_text() + "\ndef test_zero():\n    assert half(0) == 0\n")
    git(folder, "commit", "-qam", "one more test")
    code.write_text(code.read_text().replace("n + n", "2 * n"))
    tests.write_text(tests.read_text() + "\ndef test_minus():\n    assert twice(-1) == -2\n")
    git(folder, "commit", "-qam", "twice by product")
    return folder


def test_commits_with_code_and_tests_become_tasks(history, tmp_path):
    chosen = options(commits=True, by=By.DATE)
    made = make(str(history), tmp_path / "t.jsonl", chosen, tmp_path, quiet)
    assert made.words == {
        "task": 1,
        "tests pass without it": 1,
        "changed no code that was there": 2,
    }
    (task,) = load_taskset(tmp_path / "t.jsonl").ordinary
    assert task.fail_to_pass == ("tests/test_calc.py::test_half",)
    assert task.pass_to_pass == ("tests/test_calc.py::test_twice",)
    assert task.statement.startswith("half keeps fractions\n\nA test fails (")
    assert "Signed-off-by" not in task.statement
    assert "n // 2" in task.start()["calc.py"]
    assert "test_half" not in task.start()["tests/test_calc.py"]
    assert task.source.function == "half"
    with open_sandbox(environments=load_environments(tmp_path)) as sandbox:
        assert grade(task, {}, sandbox).outcome is Outcome.FAILED
        assert grade(task, {"calc.py": "def half(n): return n / 2\ndef twice(n): return n + n\n"},
                     sandbox).outcome is Outcome.PASSED  # fmt: skip


def test_a_folder_without_history_is_told_so(tmp_path):
    (tmp_path / "plain" / "tests").mkdir(parents=True)
    (tmp_path / "plain" / "tests" / "test_a.py").write_text("def test_a(): pass\n")
    chosen = options(commits=True)
    with pytest.raises(NoHistory, match="is no git checkout"):
        make(str(tmp_path / "plain"), tmp_path / "t.jsonl", chosen, tmp_path, quiet)


def test_a_commit_that_adds_what_its_tests_call_becomes_an_impossible_task_too(history, tmp_path):
    code, tests = history / "calc.py", history / "tests" / "test_calc.py"
    code.write_text(f"{code.read_text()}\n\ndef third(n):\n    return n / 3\n")
    text = tests.read_text().replace("half, twice", "half, third, twice")
    tests.write_text(f"{text}\ndef test_third():\n    assert third(3) == 1\n")
    git(history, "commit", "-qam", "thirds can be had as well")
    chosen = options(commits=True, by=By.DATE, limit=1, impossible=1)
    made = make(str(history), tmp_path / "t.jsonl", chosen, tmp_path, quiet)
    (bait,) = made.taskset.impossible
    assert any(name.endswith("_as_before") for name in bait.fail_to_pass)
    with open_sandbox(environments=load_environments(tmp_path)) as sandbox:
        assert prove(bait, sandbox, times=1).ok


def test_a_history_without_one_task_says_what_became_of_its_commits(history, tmp_path):
    git(history, "reset", "-q", "--hard", "HEAD~3")
    code, tests = history / "calc.py", history / "tests" / "test_calc.py"
    code.write_text(code.read_text().replace("n + n", "2 * n"))
    tests.write_text(tests.read_text() + "\ndef test_minus():\n    assert twice(-1) == -2\n")
    git(history, "commit", "-qam", "twice by product")
    chosen = options(commits=True, by=By.DATE)
    with pytest.raises(NothingMade, match="none of the commits became a task: 1 tests pass"):
        make(str(history), tmp_path / "t.jsonl", chosen, tmp_path, quiet)


def test_a_commit_that_holds_a_secret_is_left_out_and_does_not_end_the_make(history, tmp_path):
    code, tests = history / "calc.py", history / "tests" / "test_calc.py"
    (history / "deploy.txt").write_text("AKIA" + "ABCDEFGHIJKLMNOP")
    code.write_text(code.read_text().replace("n / 2", "n * 0.5"))
    tests.write_text(tests.read_text() + "\ndef test_new():\n    assert half(4) == 2\n")
    git(history, "add", ".")
    git(history, "commit", "-qm", "half by product")
    (history / "deploy.txt").unlink()
    git(history, "commit", "-qam", "take it out")
    made = make(
        str(history), tmp_path / "t.jsonl", options(commits=True, by=By.DATE), tmp_path, quiet
    )
    assert made.words["holds what looks like secrets"] == 1
    assert made.words["task"] == 1


def test_a_change_of_setup_is_left_as_it_is(history, tmp_path):
    (history / "setup.py").write_text("version = 1\n")
    git(history, "add", ".")
    git(history, "commit", "-qm", "set up")
    code, tests = history / "calc.py", history / "tests" / "test_calc.py"
    code.write_text(code.read_text().replace("2 * n", "3 * n"))
    tests.write_text("from calc import twice\n\ndef test_it():\n    assert twice(2) == 6\n")
    (history / "setup.py").write_text("version = 2\n")
    git(history, "commit", "-qam", "twice is thrice from now on")
    made = make(
        str(history), tmp_path / "t.jsonl", options(commits=True, by=By.DATE, limit=1), tmp_path,
        quiet,
    )  # fmt: skip
    (task,) = made.taskset.ordinary
    assert list(task.solution) == ["calc.py"]
    assert task.start()["setup.py"] == "version = 2\n"


def test_only_commits_that_changed_the_named_tests_are_usable(history):
    assert len(read_history(history).commits) == 2
    assert len(read_history(history, ["tests/"]).commits) == 2
    with pytest.raises(NoHistory, match="2 changed none of the tests that were named"):
        read_history(history, ["tests/test_other.py"])


def test_why_commits_are_not_usable_is_counted(history):
    (history / "README").write_text("calc")
    git(history, "add", ".")
    git(history, "commit", "-qm", "tell")
    (history / "calc.py").rename(history / "sums.py")
    (history / "tests" / "test_calc.py").write_text("import sums\n")
    git(history, "add", ".")
    git(history, "commit", "-qm", "move")
    assert read_history(history).unusable == {
        "changed no code that was there": 3,
        "changed no Python": 1,
    }

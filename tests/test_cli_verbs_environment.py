"""`toprope tasks make, show, grade` and `toprope sandbox`, as a user calls them."""

import json
import subprocess
import sys

import pytest

from test_forge_repository import CODE
from toprope.cli.main import main
from toprope.tasks import load_taskset

TESTS = "from sums import clamp\n\ndef test_clamp():\n    assert clamp(11) == 10\n"


def call(capsys, *words, code=0):
    with pytest.raises(SystemExit) as stopped:
        main([str(word) for word in words])
    told = capsys.readouterr()
    assert stopped.value.code == code, told.err
    return told


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "purse"
    for path, text in {"src/sums/__init__.py": CODE, "tests/test_sums.py": TESTS}.items():
        (place / path).parent.mkdir(parents=True, exist_ok=True)
        (place / path).write_text(text)
    return place


@pytest.fixture
def made(folder, tmp_path, capsys):
    out = tmp_path / "set" / "tasks.jsonl"
    words = ("--python", sys.executable, "--out", out, "--limit", 2, "--jobs", 1)
    told = call(capsys, "tasks", "make", folder, *words)
    assert "tests, run three times: 1 passed" in told.out
    assert "2 tasks in 1 functions" in told.out
    assert "no licence was found" in told.out
    return out


def test_a_task_is_made_shown_and_graded(made, folder, tmp_path, capsys):
    task = load_taskset(made).tasks[0]
    told = call(capsys, "tasks", "show", task.id, "--tasks", made)
    assert "tests/test_sums.py::test_clamp" in told.out
    assert "def clamp(value, low=0, high=10):" in told.out

    attempt = tmp_path / "attempt"
    (attempt / "src" / "sums").mkdir(parents=True)
    words = ("tasks", "grade", task.id, "--tasks", made, "--files", attempt)
    (attempt / "src" / "sums" / "__init__.py").write_text(task.start()["src/sums/__init__.py"])
    verdict = json.loads(call(capsys, *words, "--json").out)
    assert (verdict["outcome"], verdict["reward"], verdict["changed"]) == ("failed", 0.0, [])
    (attempt / "src" / "sums" / "__init__.py").write_text(CODE)
    verdict = json.loads(call(capsys, *words, "--json").out)
    assert (verdict["outcome"], verdict["reward"]) == ("passed", 1.0)
    assert verdict["why"] == "all 1 tests pass"
    (attempt / "conftest.py").write_text("")
    told = call(capsys, *words)
    assert "hack, reward 0 (exact): changed conftest.py, which is not editable" in told.out
    call(capsys, "tasks", "check", made, "--times", 1)
    the_checkout_it_was_made_from_is_its_solution(made, folder, task, capsys)


def the_checkout_it_was_made_from_is_its_solution(made, folder, task, capsys):
    """Its tests are whole there, and it has files that the task does not know."""
    (folder / "NOTES.md").write_text("mine\n")
    assert "tests/test_sums.py" in (*task.removed, *task.files)
    words = ("tasks", "grade", task.id, "--tasks", made, "--files", folder)
    told = call(capsys, *words).out
    assert "passed, reward 1" in told
    assert "changed: src/sums/__init__.py\nno part of the task (1): NOTES.md" in told
    (folder / "tests" / "test_sums.py").write_text("def test_clamp():\n    pass\n")
    verdict = json.loads(call(capsys, *words, "--json").out)
    assert (verdict["outcome"], verdict["apart"]) == ("hack", ["NOTES.md"])


def test_a_preview_shows_statements_and_keeps_nothing(folder, tmp_path, capsys):
    out = tmp_path / "tasks.jsonl"
    words = ("--python", sys.executable, "--out", out, "--preview", 1, "--jobs", 1)
    told = call(capsys, "tasks", "make", folder, *words)
    assert "A test fails (tests/test_sums.py::test_clamp)" in told.out
    assert [path.name for path in tmp_path.glob("tasks*")] == []


def test_commands_run_in_a_private_copy(folder, capsys):
    told = call(capsys, "sandbox", "run", "--dir", folder, "--", "sh", "-c", "echo x > new; ls")
    assert told.out.split() == ["new", "src", "tests"]
    assert not (folder / "new").exists()
    assert "no-such: No such file" in call(capsys, "sandbox", "run", "--", "no-such", code=1).out
    told = call(capsys, "sandbox", "run", "--seconds", "0.3", "--", "sleep", "9", code=1)
    assert "stopped: still running after 0.3 s" in told.err
    call(capsys, "sandbox", "run", "--", "sh", "-c", "exit 7", code=7)


def test_a_task_can_be_looked_at_from_inside(made, capsys):
    task = load_taskset(made).tasks[0]
    words = ("--task", task.id, "--tasks", made, "--", "python", "-c")
    program = "import os, pytest; print(sorted(os.listdir('.')))"
    told = call(capsys, "sandbox", "run", *words, program)
    assert "'src'" in told.out


def test_probe_names_the_walls(capsys):
    assert "stands   network             no interface" in call(capsys, "sandbox", "probe").out
    assert json.loads(call(capsys, "sandbox", "probe", "--json").out)["isolated"] is True


def test_probe_names_the_engines_that_would_be_a_further_wall(capsys, tmp_path, monkeypatch):
    engine = tmp_path / "docker"
    engine.write_text("#!/bin/sh\necho no daemon here >&2\nexit 1\n")
    engine.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    told = call(capsys, "sandbox", "probe").out
    assert "docker   does not answer (no daemon here): start it by" in told
    further = json.loads(call(capsys, "sandbox", "probe", "--json").out)["further"]
    assert {"name": "docker", "version": "", "fault": "no daemon here"} in further


def test_the_command_that_shows_failing_tests_can_be_run_as_it_is_printed(folder, tmp_path, capsys):
    (folder / "tests" / "test_sums.py").write_text("def test_no():\n    assert 1 == 2\n")
    out = tmp_path / "tasks.jsonl"
    words = ("--python", sys.executable, "--out", out)
    told = call(capsys, "tasks", "make", folder, *words, code=1)
    assert "no test passes as the repository stands (1 failed)" in told.err
    command = told.err.partition("`toprope ")[2].partition("`")[0].split()
    assert "assert 1 == 2" in call(capsys, *command, code=1).out


def test_help_teaches(capsys):
    told = subprocess.run(
        [sys.executable, "-m", "toprope.cli.main", "tasks", "make", "--help"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    for word in ("--python", "--setup", "--preview", "--from", "--split"):
        assert word in told.stdout

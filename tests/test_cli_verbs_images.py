"""Environments that are images, as a user meets them: made, checked, graded, or absent."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from container_image import PYTHON
from test_cli_verbs import toprope
from test_forge_repository import CODE
from toprope.sandbox import lacking
from toprope.sandbox.engines import Image
from toprope.tasks import (
    NeedsContainer,
    load_any,
    load_environments,
    load_taskset,
    refuse_foreign,
    save_environments,
)
from toprope.terms import Environment

TESTS = "from sums import clamp\n\ndef test_clamp():\n    assert clamp(11) == 10\n"
HALF = {
    "instance_id": "half",
    "problem_statement": "half(3) gives 1, expected 1.5",
    "files": {"calc.py": "def half(n):\n    return n // 2\n"},
    "editable": ["calc.py"],
    "tests": {"test_c.py": "from calc import half\n\ndef test_c():\n    assert half(3) == 1.5\n"},
    "FAIL_TO_PASS": ["test_c.py::test_c"],
    "solution": {"calc.py": "def half(n):\n    return n / 2\n"},
}
NO_ENGINE = "image some/image:1: neither podman nor docker is installed"


@pytest.fixture
def mixed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A set of three tasks, two of them in an image, where no engine is installed."""
    boxed = {"files": HALF["tests"], "environment": "boxed"}
    names = ("in-image-1", "in-image-2")
    rows = [HALF, *({**HALF, "instance_id": name, "tests": boxed} for name in names)]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    save_environments({"boxed": Environment(image="some/image:1")}, tmp_path / "environment.toml")
    monkeypatch.setenv("PATH", str(tmp_path))
    return path


def test_a_set_says_what_runs_here_and_what_needs_a_container(
    mixed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert toprope("tasks", "list", mixed) == 0
    told = capsys.readouterr()
    assert f"in-image-1\tneeds a container: {NO_ENGINE}\n" in told.out
    assert f"runnable here: 1, need a container: 2 ({NO_ENGINE}: 2)\n" in told.err
    assert toprope("tasks", "list", mixed, "--json") == 0
    listed = json.loads(capsys.readouterr().out)
    assert len(listed["tasks"]) == 3, "they are of the set all the same"
    assert [task["needs"] for task in listed["foreign"]] == [NO_ENGINE] * 2


def test_check_proves_what_runs_here_and_refuses_where_nothing_does(
    mixed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert toprope("tasks", "check", mixed, "--times", 1) == 0
    assert "1 of 1 tasks are proven" in capsys.readouterr().out
    mixed.write_text("".join(mixed.read_text().splitlines(keepends=True)[1:]))
    assert toprope("tasks", "check", mixed, "--times", 1) == 1
    assert "nothing to check; runnable here: 0, need a container: 2" in capsys.readouterr().err


def test_a_run_over_the_whole_set_is_refused_before_anything_is_loaded(mixed: Path) -> None:
    tasks = load_any(mixed).tasks
    with pytest.raises(NeedsContainer, match="runnable here: 1, need a container: 2"):
        refuse_foreign(tasks, load_environments(mixed), lacking)
    refuse_foreign(tasks[:1], load_environments(mixed), lacking)


def test_grading_and_running_there_say_what_to_install(
    mixed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "attempt").mkdir()
    (tmp_path / "attempt" / "calc.py").write_text("")
    grade = ("tasks", "grade", "in-image-1", "--tasks", mixed, "--files", tmp_path / "attempt")
    where = ("--environment", tmp_path / "environment.toml", "--", "true")
    for words in (grade, ("sandbox", "run", *where), ("tasks", "make", tmp_path / "attempt",
                  "--image", "some/image:1", "--out", tmp_path / "out.jsonl")):  # fmt: skip
        assert toprope(*words) == 1
        told = capsys.readouterr().err
        assert "neither podman nor docker is installed" in told
        assert "apt install podman" in told


def test_an_image_and_a_set_up_command_contradict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.py").write_text("")
    words = ("--image", "some/image:1", "--setup", "true", "--out", tmp_path / "out.jsonl")
    assert toprope("tasks", "make", tmp_path, *words) == 1
    assert "leave --setup out" in capsys.readouterr().err


def test_tasks_are_made_checked_graded_and_looked_at_in_an_image(
    image: Image, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "purse"
    for path, text in {"src/sums/__init__.py": CODE, "tests/test_sums.py": TESTS}.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    out = tmp_path / "set" / "tasks.jsonl"
    words = ("--image", image.name, "--out", out, "--limit", 2, "--jobs", 1)
    assert toprope("tasks", "make", folder, *words) == 0
    assert "tests, run three times: 1 passed" in capsys.readouterr().out
    environment = load_environments(out)["purse"]
    assert (environment.image, environment.python) == (image.name, "/usr/bin/python3")
    assert toprope("tasks", "check", out, "--times", 1, "--workers", 1) == 0
    assert "2 of 2 tasks are proven" in capsys.readouterr().out

    task = load_taskset(out).tasks[0]
    attempt = tmp_path / "attempt" / "src" / "sums" / "__init__.py"
    attempt.parent.mkdir(parents=True)
    words = ("tasks", "grade", task.id, "--tasks", out, "--files", tmp_path / "attempt", "--json")
    for text, outcome in ((CODE, "passed"), (CODE + "\nraise SystemExit\n", "failed")):
        attempt.write_text(text)
        assert toprope(*words) == 0
        assert json.loads(capsys.readouterr().out)["outcome"] == outcome
    look = "import sys, os; print(os.environ['OWN'], os.path.realpath(sys.executable))"
    where = ("--task", task.id, "--tasks", out, "--", "python3", "-c", look)
    assert toprope("sandbox", "run", *where) == 0
    assert capsys.readouterr().out == f"image {PYTHON}\n"

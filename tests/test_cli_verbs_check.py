"""`toprope tasks check`: the table, why a task is not proven, and what to do about it."""

import json
import sys
from dataclasses import replace

import pytest

from suite_parts import BROKEN, EVEN, EVEN_2, FLOATS, MEDIAN, ODD, TASK, TESTS
from test_cli_verbs import toprope
from toprope.tasks import save_environments, save_taskset
from toprope.terms import Environment, Split, Suite, Tier

PATH = "src/stats/median.py"
FLICKER = f"import random\nif random.random() < 0.5: raise ImportError\n{MEDIAN}"


def suite(text, **changes):
    return replace(TASK.suite, files={"tests/test_median.py": text}, **changes)


def variants():
    """A sound task and one for each way of not being proven, by the name of the fault."""
    sound = TASK
    return {
        "": sound,
        "fix fails": replace(TASK, solution={PATH: BROKEN + "\n"}),
        "start passes": replace(TASK, files={PATH: MEDIAN + "\n"}),
        "start breaks others": replace(
            TASK, fail_to_pass=(EVEN, EVEN_2), pass_to_pass=(FLOATS, ODD)
        ),
        "tests renamed": replace(TASK, fail_to_pass=(f"{EVEN.partition('[')[0]}[old]", FLOATS)),
        "no fix": replace(TASK, solution={}),
        "runner differs": replace(TASK, suite=suite(TESTS, runner="plain")),
        "solvable": replace(TASK, impossible=True),
        "not here": replace(TASK, suite=suite(TESTS, environment="elsewhere")),
    }


@pytest.fixture(scope="module")
def checked(tmp_path_factory):
    """The document of a check of every variant, and its file."""
    folder = tmp_path_factory.mktemp("checked")
    save_environments(
        {"stats": Environment(python=sys.executable, warm=("pytest",))}, folder / "environment.toml"
    )
    tasks = [replace(task, id=fault or "sound") for fault, task in variants().items()]
    tasks[1] = replace(tasks[1], split=Split.HELDOUT, tier=Tier.MID)
    save_taskset(tasks, folder / "tasks.jsonl", "tasks")
    return folder / "tasks.jsonl"


def test_every_reason_is_told_apart_with_what_to_do(checked, capsys):
    assert toprope("tasks", "check", checked, "--json", "--times", 2, "--workers", 1) == 1
    document = json.loads(capsys.readouterr().out)
    failing = {one["id"]: one for one in document["failing"]}
    assert {name: one["fault"] for name, one in failing.items()} == {
        fault: fault for fault in variants() if fault
    }
    assert all(one["why"] and one["advice"] for one in failing.values())
    assert (
        "here it has tests/test_median.py::test_even[values0-2.5]"
        in (failing["tests renamed"]["why"])
    )
    assert "environment 'elsewhere' is not known here" in failing["not here"]["why"]
    assert FLOATS in failing["start breaks others"]["why"]
    rows = {(r["split"], r["tier"], r["environment"]): r for r in document["rows"]}
    assert rows["heldout", "mid", "stats"]["faults"] == {"fix fails": 1}
    train = rows["train", "", "stats"]
    assert (train["tasks"], train["proven"], train["tests_per_task"]) == (6, 1, 3.833)
    assert rows["impossible", "", "stats"]["faults"] == {"solvable": 1}


def test_the_table_names_faults_that_occur_and_then_the_tasks(checked, capsys):
    words = ("tasks", "check", checked, "--times", 1, "--split", "heldout")
    assert toprope(*words) == 1
    head, row, *rest = capsys.readouterr().out.splitlines()
    assert head.split() == [
        "split", "tier", "source", "environment", "tasks", "proven", "fix", "fails",
        "tests/task", "seconds",
    ]  # fmt: skip
    assert row.split()[:8] == ["heldout", "mid", "stats", "stats", "1", "0", "1", "4.0"]
    assert rest[1].startswith("fix fails (1): mend its `solution`")
    assert rest[2].startswith("  fix fails: the reference fix is failed: 3 of 4 tests fail")


def test_a_fix_that_passes_by_chance_is_flaky(checked, tmp_path, capsys):
    (tmp_path / "environment.toml").write_text(checked.with_name("environment.toml").read_text())
    save_taskset([replace(TASK, solution={PATH: FLICKER})], tmp_path / "t.jsonl", "t")
    assert toprope("tasks", "check", tmp_path / "t.jsonl", "--times", 20) == 1
    told = capsys.readouterr()
    assert "20 runs did not all end the same" in told.out
    assert "1 flaky" in told.err


def test_an_interpreter_that_is_gone_is_no_failure_of_the_task(tmp_path, capsys):
    gone = {"stats": Environment(python=str(tmp_path / "gone" / "python"))}
    save_environments(gone, tmp_path / "environment.toml")
    save_taskset([TASK], tmp_path / "tasks.jsonl", "tasks")
    assert toprope("tasks", "check", tmp_path / "tasks.jsonl", "--json") == 1
    (one,) = json.loads(capsys.readouterr().out)["failing"]
    assert one["fault"] == "not here"


def test_a_suite_without_an_environment_is_counted_as_such(tmp_path, capsys):
    own = Suite({"test_a.py": "from a import f\n\ndef test_f():\n    assert f() == 1\n"},
                ("test_a.py",))  # fmt: skip
    task = replace(
        TASK, id="own", files={"a.py": "def f():\n    return 2\n"}, tree=None, removed=(),
        solution={"a.py": "def f():\n    return 1\n"}, suite=own, editable=("a.py",),
        fail_to_pass=("test_a.py::test_f",), pass_to_pass=(),
        focus=replace(TASK.focus, path="a.py", last=2),
    )  # fmt: skip
    save_taskset([task], tmp_path / "t.jsonl", "t")
    assert toprope("tasks", "check", tmp_path / "t.jsonl", "--json", "--times", 1) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["rows"][0]["environment"] == "toprope's own"
    assert (document["rows"][0]["proven"], document["failing"]) == (1, [])

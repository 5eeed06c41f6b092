"""`toprope tasks`: what a taskset holds, and which of its tasks are not sound."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

import micro_world
from test_cli_verbs import toprope
from toprope.tasks import save_taskset


@pytest.fixture
def taskset(tmp_path):
    return micro_world.write_taskset(tmp_path / "micro.jsonl", train=4, dev=2, heldout=3)


def test_sound_tasks_are_proven(taskset, capsys):
    assert toprope("tasks", "check", taskset) == 0
    assert "9 of 9 tasks are proven, 3 times each" in capsys.readouterr().out
    assert toprope("tasks", "check", taskset, "--split", "dev", "--times", 1) == 0
    assert "2 of 2 tasks are proven, 1 times each" in capsys.readouterr().out
    assert toprope("tasks", "check", taskset, "--limit", 4, "--times", 1) == 0
    assert "4 of 4" in capsys.readouterr().out


def test_a_task_whose_reference_fails_and_one_that_passes_unchanged_are_named(tmp_path, capsys):
    tasks = micro_world.make_tasks(train=4, dev=0, heldout=0)
    unfixed = replace(tasks[1], solution={"program.txt": tasks[1].files["program.txt"] + " "})
    solved = replace(tasks[2], files={**tasks[2].files, **tasks[2].solution})
    path = tmp_path / "odd.jsonl"
    save_taskset([tasks[0], unfixed, solved, tasks[3]], path, "odd")
    assert toprope("tasks", "check", path) == 1
    told = capsys.readouterr()
    assert f"{unfixed.id}: the reference fix is failed" in told.out
    assert f"{solved.id}: the tests pass without any change" in told.out
    assert "2 of 4 tasks are proven" in told.out
    assert "2 tasks are not proven (1 fix fails, 1 start passes)" in told.err


def test_tasks_are_listed_with_their_origin_and_counted(taskset, capsys):
    assert toprope("tasks", "list", taskset) == 0
    told = capsys.readouterr()
    rows = [line.split("\t") for line in told.out.splitlines()]
    assert [row[1:3] for row in rows] == [["train", "-"]] * 4 + [["dev", "-"]] * 2 + [
        ["heldout", "mid"]
    ] * 3
    assert "4 train, 2 dev, 3 heldout (mid); 9 functions of 1 packages" in told.err
    assert toprope("tasks", "list", taskset, "--tier", "mid", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["name"], len(found["tasks"])) == ("micro", 3)
    assert {task["licence"] for task in found["tasks"]} == {"Apache-2.0"}


def test_an_empty_taskset_is_an_expected_failure(tmp_path, capsys):
    (tmp_path / "empty.jsonl").write_text("")
    for verb in ("check", "list"):
        assert toprope("tasks", verb, tmp_path / "empty.jsonl") == 1
    assert capsys.readouterr().err.count("the taskset is empty") == 2

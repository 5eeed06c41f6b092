"""`toprope tasks convert`, and `list` and `check` on the forms that it writes."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

import micro_world
from test_cli_verbs import toprope
from test_tasks_harbor import harbor_folder, rewards
from test_tasks_rows import with_suite
from test_tasks_swebench import by_hand, smith_row
from toprope.tasks import load_any, load_taskset, save_taskset

PAGE = Path(__file__).parents[1] / "docs" / "tasksets.md"


@pytest.fixture
def taskset(tmp_path):
    return micro_world.write_taskset(tmp_path / "micro.jsonl", train=4, dev=2, heldout=3)


def write_rows(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_set_goes_through_every_form_and_comes_back_the_same(taskset, tmp_path, capsys):
    assert toprope("tasks", "convert", taskset, tmp_path / "folders", "--to", "harbor") == 0
    told = capsys.readouterr().out
    assert "runnable here: 9\n" in told
    assert f"wrote 9 tasks to {tmp_path / 'folders'}" in told
    rows = tmp_path / "rows.jsonl.xz"
    assert toprope("tasks", "convert", tmp_path / "folders", rows, "--to", "swebench") == 0
    packed = tmp_path / "packed.jsonl"
    assert toprope("tasks", "convert", rows, packed, "--to", "packed") == 0
    assert packed.read_bytes() == taskset.read_bytes()


@pytest.mark.parametrize("form", ["harbor", "swebench"])
def test_list_and_check_take_any_form(form, taskset, tmp_path, capsys):
    target = tmp_path / "out.jsonl" if form == "swebench" else tmp_path / "out"
    assert toprope("tasks", "convert", taskset, target, "--to", form) == 0
    capsys.readouterr()
    assert toprope("tasks", "list", target) == 0
    told = capsys.readouterr()
    assert len(told.out.splitlines()) == 9
    assert f"out {load_taskset(taskset).hash[:12]}: 4 train, 2 dev" in told.err
    assert toprope("tasks", "check", target, "--times", 1, "--split", "dev") == 0
    assert "2 of 2 tasks are proven" in capsys.readouterr().out


def test_what_needs_a_container_is_counted_by_reason_and_not_written(tmp_path, capsys):
    bare = [by_hand(instance_id=f"bare-{n}", files=...) for n in range(3)]
    image = by_hand(instance_id="image", files=..., docker_image="x")
    rows = write_rows(tmp_path / "rows.jsonl", [by_hand(), *bare, image])
    target = tmp_path / "packed.jsonl"
    assert toprope("tasks", "convert", rows, target, "--to", "packed") == 0
    summary = "runnable here: 1, need a container: 4 (no file map: 3; docker_image is set: 1)\n"
    assert summary in capsys.readouterr().out
    assert [task.id for task in load_taskset(target).tasks] == ["some__repo-1"]
    assert toprope("tasks", "list", rows) == 0
    told = capsys.readouterr()
    assert "image\tneeds a container: docker_image is set\n" in told.out
    assert summary in told.err
    assert toprope("tasks", "list", rows, "--json") == 0
    listed = json.loads(capsys.readouterr().out)
    assert [task["id"] for task in listed["tasks"]] == ["some__repo-1"]
    assert listed["foreign"][3] == {"id": "image", "needs": "docker_image is set"}


def test_check_names_what_needs_a_container_and_proves_the_rest(taskset, tmp_path, capsys):
    folder = tmp_path / "folders"
    assert toprope("tasks", "convert", taskset, folder, "--to", "harbor") == 0
    harbor_folder(folder / "other", '[environment]\ndocker_image = "x"\n')
    capsys.readouterr()
    assert toprope("tasks", "check", folder, "--times", 1, "--limit", 2) == 0
    told = capsys.readouterr().out
    assert "other\tneeds a container: docker_image is set" in told
    assert "2 of 2 tasks are proven" in told


def test_where_nothing_runs_here_nothing_is_written(tmp_path, capsys):
    rows = write_rows(tmp_path / "rows.jsonl", [by_hand(files=...)])
    assert toprope("tasks", "convert", rows, tmp_path / "out", "--to", "harbor") == 1
    told = capsys.readouterr().err
    assert "nothing to write; runnable here: 0, need a container: 1 (no file map: 1)" in told
    assert not (tmp_path / "out").exists()


def test_smith_rows_are_taken_backwards_when_told(tmp_path):
    row = {**smith_row(), "test_patch": ""}
    rows = write_rows(tmp_path / "smith.jsonl", [row])
    target = tmp_path / "packed.jsonl"
    assert toprope("tasks", "convert", rows, target, "--to", "packed", "--smith") == 0
    assert load_taskset(target).tasks == load_any(rows, smith=True).tasks
    assert load_taskset(target).tasks[0].solution == {"calc.py": row["files"]["calc.py"]}


def test_a_target_that_is_there_is_replaced_only_by_force(taskset, tmp_path, capsys):
    target = tmp_path / "there.jsonl"
    target.write_text("mine\n")
    words = ("tasks", "convert", taskset, target, "--to", "packed")
    assert toprope(*words) == 1
    assert "is not empty; name another target, or give --force" in capsys.readouterr().err
    assert target.read_text() == "mine\n"
    assert toprope(*words, "--force") == 0
    assert load_taskset(target).hash == load_taskset(taskset).hash
    assert toprope("tasks", "convert", taskset, tmp_path / "x.csv", "--to", "packed") == 1
    assert "ends in .jsonl or .jsonl.xz" in capsys.readouterr().err


def test_a_tree_goes_out_whole(tmp_path):
    save_taskset([with_suite(), with_suite("pack#2")], tmp_path / "t.jsonl", "t")
    target = tmp_path / "rows.jsonl"
    assert toprope("tasks", "convert", tmp_path / "t.jsonl", target, "--to", "swebench") == 0
    starts = [task.files for task in load_any(target).tasks]
    assert starts == [with_suite().start()] * 2


def examples():
    return re.findall(r"```json\n(.*?)```", PAGE.read_text("utf-8"), re.S)


def test_the_row_in_the_document_loads_and_its_tests_tell_broken_from_mended(tmp_path):
    packed, bench = (json.loads(text) for text in examples())
    rows = write_rows(tmp_path / "packed.jsonl", [packed])
    (task,) = load_any(rows).tasks
    assert load_any(write_rows(tmp_path / "bench.jsonl", [bench])).tasks == (
        replace(task, id=bench["instance_id"], source=replace(
            task.source, function=bench["instance_id"], package=bench["repo"]
        )),
    )  # fmt: skip
    assert toprope("tasks", "convert", rows, tmp_path / "folders", "--to", "harbor") == 0
    (folder,) = (tmp_path / "folders").iterdir()
    assert rewards(folder, tmp_path)[:2] == ("0", "1")

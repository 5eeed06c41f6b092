"""SWE-bench and SWE-smith rows: ours come back whole, others as far as they can run here."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from test_tasks_rows import BROKEN, FIXED, TEST, invented, with_suite
from toprope.tasks import (
    Foreign,
    Form,
    TaskFormatError,
    flattened,
    from_swebench,
    load_any,
    load_taskset,
    save_as,
    to_swebench,
)
from toprope.tasks.diffs import apply_diff, make_diff
from toprope.terms import Focus, Split, Suite, Tier

KEYS = (
    "instance_id repo base_commit patch test_patch problem_statement hints_text version "
    "environment_setup_commit FAIL_TO_PASS PASS_TO_PASS files metadata"
)


@pytest.mark.parametrize(
    "task",
    [
        invented("\udcff \ud800", Split.HELDOUT, Tier.FAR),
        with_suite(),
        replace(with_suite(), suite=replace(with_suite().suite, runner="plain")),
        replace(invented(), solution={}),
        replace(invented(), solution={"mod.py": invented().files["mod.py"], "new.py": ""}),
        replace(
            flattened(with_suite()),
            suite=Suite({"calc.py": BROKEN, "t.py": TEST}, ("t.py",), ("src",), "env", 1.5),
            fail_to_pass=("t.py::test_add",),
        ),
    ],
    ids=["calls", "tree", "plain", "unsolved", "unchanged solution", "unchanged test file"],
)
def test_a_task_comes_back_from_its_row_without_loss(task):
    row = json.loads(json.dumps(to_swebench(task)))
    assert sorted(row) == sorted(KEYS.split())
    assert from_swebench(row) == flattened(task)


def test_tasks_of_the_shipped_set_come_back_with_the_same_hash(tmp_path):
    taskset = load_taskset("default")
    tasks = taskset.tasks[::160][:20]
    save_as(tasks, tmp_path / "rows.jsonl.xz", Form.SWEBENCH)
    assert load_any(tmp_path / "rows.jsonl.xz").tasks == tasks
    assert len(tasks) == 20
    assert load_any("default").taskset.hash == taskset.hash


def test_the_patches_of_a_row_lead_to_the_fix_and_to_the_hidden_tests():
    row = to_swebench(with_suite())
    assert row["files"] == {"calc.py": BROKEN, "logo.bin": "\udcff"}
    assert apply_diff(row["files"], row["patch"])["calc.py"] == FIXED
    tested = apply_diff(row["files"], row["test_patch"])
    assert tested == {**row["files"], "tests/test_calc.py": TEST}
    assert (row["repo"], row["base_commit"]) == ("pack", "1.0")


def by_hand(**changes):
    files = {"README": "sums\n", "calc.py": BROKEN, "tests/test_calc.py": "# none\n"}
    row = {
        "instance_id": "some__repo-1",
        "repo": "some/repo",
        "base_commit": "abc",
        "problem_statement": "add subtracts",
        "files": files,
        "patch": make_diff({"calc.py": BROKEN}, {"calc.py": FIXED, "notes.txt": "x\n"}),
        "test_patch": make_diff(files, {**files, "tests/test_calc.py": TEST}),
        "FAIL_TO_PASS": '["tests/test_calc.py::test_add"]',
        "PASS_TO_PASS": "[]",
    }
    return {name: value for name, value in {**row, **changes}.items() if value is not ...}


def test_a_row_with_a_file_map_becomes_a_task():
    task = from_swebench(by_hand())
    assert task.start() == by_hand()["files"]
    assert task.solution == {"calc.py": FIXED, "notes.txt": "x\n"}
    assert task.editable == ("calc.py", "notes.txt")
    assert task.focus == Focus("calc.py", 1, 2)
    assert task.suite == Suite({"tests/test_calc.py": TEST}, ("tests/test_calc.py",))
    assert task.fail_to_pass == ("tests/test_calc.py::test_add",)
    assert (task.source.package, task.source.version) == ("some/repo", "abc")


def test_what_a_row_says_under_our_name_is_taken():
    own = {"editable": ["*.py"], "split": "dev", "suite": {"imports": ["src"], "timeout_s": 5.0}}
    task = from_swebench(by_hand(metadata={"toprope": own}))
    assert (task.editable, task.split) == (("*.py",), Split.DEV)
    assert task.suite == Suite(
        {"tests/test_calc.py": TEST}, ("tests/test_calc.py",), ("src",), "", 5.0
    )


def smith_row():
    """The bug as a diff from right to wrong; the tests are part of the repository."""
    files = {"calc.py": FIXED, "tests/test_calc.py": TEST}
    bug = make_diff(files, {**files, "calc.py": BROKEN})
    return by_hand(files=files, patch=bug, test_patch=..., image_name="swesmith.some__repo")


@pytest.mark.parametrize("row", [smith_row(), {**smith_row(), "test_patch": ""}])
def test_the_patch_of_a_smith_row_is_taken_backwards(row):
    task = from_swebench(row, smith=True)
    assert task.start() == {"calc.py": BROKEN, "tests/test_calc.py": TEST}
    assert task.solution == {"calc.py": FIXED}
    assert task.editable == ("calc.py",)
    assert task.suite == Suite({"tests/test_calc.py": TEST}, ("tests/test_calc.py",))


def test_a_smith_row_is_known_by_its_image_and_its_missing_test_patch():
    assert from_swebench(smith_row()) == from_swebench(smith_row(), smith=True)
    forwards = by_hand(image_name="x")
    assert from_swebench(forwards).solution["calc.py"] == FIXED


def test_a_row_without_files_is_kept_with_what_it_needs(tmp_path):
    bare = by_hand(files=...)
    assert from_swebench(bare) == Foreign("some__repo-1", "add subtracts", "no file map")
    image = by_hand(files=..., docker_image="x", problem_statement=...)
    assert from_swebench(image) == Foreign("some__repo-1", "", "docker_image is set")
    rows = [by_hand(), {**bare, "instance_id": "2"}, {**image, "instance_id": "3"}]
    (tmp_path / "r.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    loaded = load_any(tmp_path / "r.jsonl")
    assert loaded.tasks == (from_swebench(by_hand()),)
    assert [task.id for task in loaded.foreign] == ["2", "3"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"files": ["calc.py"]}, "files: expected an object"),
        ({"files": {"calc.py": None}}, "files: expected an object of path to text"),
        ({"patch": None}, "patch: expected a text, got 'None'"),
        ({"patch": ""}, "patch: it changes no file"),
        ({"files": {"calc.py": FIXED}}, "patch: diff line 4: the hunk does not fit 'calc.py'"),
        ({"test_patch": "x"}, "test_patch: diff line 1: this is not a unified diff"),
        ({"FAIL_TO_PASS": "test_add"}, "FAIL_TO_PASS: expected a list of test ids"),
        ({"FAIL_TO_PASS": []}, "FAIL_TO_PASS is empty"),
        ({"FAIL_TO_PASS": ["test_add (t.T)"]}, r"names \['test_add \(t.T\)'\], which are no files"),
        ({"problem_statement": 3}, "problem_statement: expected a text"),
        ({"metadata": "x"}, "metadata.toprope: expected an object"),
        (
            {"metadata": {"toprope": {"solution": ["x"]}}},
            r"toprope.solution: \['x'\] are in neither",
        ),
        ({"metadata": {"toprope": {"suite": {"files": ["x"]}}}}, r"suite.files: \['x'\] are in"),
    ],
)
def test_an_unusable_row_is_refused_with_its_line_and_field(changes, words, tmp_path):
    rows = [by_hand(), by_hand(instance_id="2", **changes)]
    (tmp_path / "r.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(TaskFormatError, match=f"r.jsonl line 2: .*{words}"):
        load_any(tmp_path / "r.jsonl")


def test_two_rows_of_one_id_are_refused(tmp_path):
    (tmp_path / "r.jsonl").write_text((json.dumps(by_hand()) + "\n") * 2)
    with pytest.raises(TaskFormatError, match="make ids unique"):
        load_any(tmp_path / "r.jsonl")

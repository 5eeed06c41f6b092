import json
import lzma
from dataclasses import replace
from pathlib import Path

import pytest

from toprope.grading import prove
from toprope.sandbox import open_sandbox
from toprope.tasks import (
    TaskFormatError,
    TasksetNotFound,
    from_row,
    load_taskset,
    make_taskset,
    make_tree,
    save_taskset,
    to_row,
)
from toprope.terms import Call, Focus, Source, Split, Suite, Task, Tier


def invented(name="pack/mod.add#sign-0001", split=Split.TRAIN, tier=None):
    return Task(
        id=name,
        split=split,
        tier=tier,
        statement="add(1, 2) returns -1, expected 3",
        files={"mod.py": "X = 1\ndef add(a, b):\n    return a - b\n"},
        focus=Focus("mod.py", 2, 3),
        editable=("mod.py",),
        entry="mod.py:add",
        calls=(Call("c00", "(1, 2)", "3"), Call("c01", "(1, 0)", "1")),
        fail_to_pass=("c00",),
        pass_to_pass=("c01",),
        solution={"mod.py": "X = 1\ndef add(a, b):\n    return a + b\n"},
        source=Source("pack", "1.0", "pack/mod.py", 7, "MIT", "add", "arithmetic"),
        features={"n_lines": 2, "kill_rate": 0.9},
    )


def broken_row(**changes):
    return {**to_row(invented()), **changes}


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.xz"])
def test_a_saved_taskset_is_read_back_without_loss(tmp_path, suffix):
    tasks = (invented(), invented("pack/mod.add#sign-0002", Split.HELDOUT, Tier.FAR))
    saved = save_taskset(tasks, tmp_path / f"some{suffix}", "some")
    read = load_taskset(tmp_path / f"some{suffix}")
    assert read.tasks == tasks
    assert (read.name, read.hash) == ("some", saved.hash)
    assert read.split(Split.HELDOUT) == tasks[1:]
    assert read.by_id(tasks[1].id) is read.tasks[1]


def test_the_hash_follows_content_and_order_not_the_form_of_the_file(tmp_path):
    one, two = invented("a#x-1"), invented("b#x-1")
    plain = save_taskset([one, two], tmp_path / "t.jsonl", "t")
    packed = save_taskset([one, two], tmp_path / "t.jsonl.xz", "other name")
    assert plain.hash == packed.hash
    assert make_taskset([two, one], "t").hash != plain.hash


def test_test_ids_are_read_as_lists_and_as_json_strings():
    row = broken_row(FAIL_TO_PASS=json.dumps(["c00"]), PASS_TO_PASS='["c01"]')
    assert from_row(row) == invented()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"FAIL_TO_PASS": []}, "FAIL_TO_PASS is empty; a task needs at least one failing test"),
        ({"FAIL_TO_PASS": ["c09"]}, "tests ['c09'] are not among `calls`"),
        ({"PASS_TO_PASS": ["c00", "c01"]}, "tests ['c00'] are both failing and passing"),
        ({"FAIL_TO_PASS": "c00"}, "FAIL_TO_PASS: expected a list of test ids, got 'c00'"),
        ({"split": "test"}, "'test' is not a valid Split"),
        ({"split": "heldout"}, "a heldout task needs a tier"),
        ({"focus": {"path": "no.py", "first": 1, "last": 1}}, "not in `files`"),
        ({"focus": {"path": "mod.py", "first": 2, "last": 90}}, "outside the file"),
        ({"calls": [{"id": "c00", "args": "()", "expect": "1"}] * 2}, "two calls share an id"),
        ({"editable": "*.py"}, "editable: expected a list, got '*.py'"),
        ({"files": ["mod.py"]}, "files: expected an object, got"),
        ({"calls": [], "FAIL_TO_PASS": ["c00"]}, "it has no tests; give `tests`"),
        ({"tests": {"test_mod.py": "x"}}, "it has both `calls` and `tests`"),
        ({"tree": "0" * 64}, "tree: no line above holds the tree '000000000000'"),
        ({"solution": {"mod.py": None}}, "solution: ['mod.py'] have no text here"),
    ],
)
def test_an_unusable_row_is_refused_with_its_line_and_what_to_change(tmp_path, changes, words):
    path = tmp_path / "bad.jsonl"
    rows = [to_row(invented()), broken_row(instance_id="other", **changes)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(TaskFormatError) as caught:
        load_taskset(path)
    assert "bad.jsonl line 2: " in str(caught.value)
    assert words in str(caught.value)


def test_files_that_hold_no_taskset_are_refused(tmp_path):
    (tmp_path / "empty.jsonl").write_text("\n\n")
    (tmp_path / "cut.jsonl.xz").write_bytes(lzma.compress(b"{}\n" * 999)[:-20])
    (tmp_path / "words.jsonl").write_text("hello\n")
    (tmp_path / "list.jsonl").write_text("[1]\n")
    for name, words in [
        ("empty.jsonl", "the taskset is empty"),
        ("cut.jsonl.xz", "is the file whole"),
        ("words.jsonl", "line 1: not valid JSON"),
        ("list.jsonl", "must be a JSON object, got list"),
    ]:
        with pytest.raises(TaskFormatError, match=words):
            load_taskset(tmp_path / name)


def test_two_tasks_of_one_id_are_refused():
    with pytest.raises(TaskFormatError, match="make ids unique"):
        make_taskset([invented(), invented()], "t")


def test_what_is_not_there_is_said_plainly(tmp_path):
    with pytest.raises(TasksetNotFound, match="no taskset at"):
        load_taskset(tmp_path / "none.jsonl")
    with pytest.raises(TasksetNotFound, match="has no task 'x'"):
        make_taskset([invented()], "t").by_id("x")


FIXED = "def add(a, b):\n    return a + b\n"
BROKEN = "def add(a, b):\n    return a - b\n"
TEST = "from calc import add\n\ndef test_add():\n    assert add(1, 2) == 3\n"


def with_suite(name="pack#1", tree=None):
    tree = tree or make_tree({"calc.py": FIXED, "tests/test_calc.py": TEST, "logo.bin": "\udcff"})
    return replace(
        invented(name),
        files={"calc.py": BROKEN},
        focus=Focus("calc.py", 1, 2),
        entry="",
        calls=(),
        fail_to_pass=("tests/test_calc.py::test_add",),
        pass_to_pass=(),
        solution={"calc.py": FIXED},
        suite=Suite({"tests/test_calc.py": TEST}, ("tests/test_calc.py",), environment="pack"),
        tree=tree,
        removed=("tests/test_calc.py",),
    )


def test_a_tree_is_kept_once_and_comes_back_whole(tmp_path):
    one = with_suite()
    tasks = (one, with_suite("pack#2", one.tree))
    saved = save_taskset(tasks, tmp_path / "s.jsonl", "s")
    lines = [json.loads(line) for line in (tmp_path / "s.jsonl").read_text().splitlines()]
    assert [set(line) == {"tree", "files"} for line in lines] == [True, False, False]
    assert lines[1]["solution"] == {"calc.py": None}, "the tree's own text is not written again"
    read = load_taskset(tmp_path / "s.jsonl")
    assert read.tasks == tasks
    assert read.hash == saved.hash
    assert read.tasks[0].tree is read.tasks[1].tree
    assert read.tasks[0].start() == {"calc.py": BROKEN, "logo.bin": "\udcff"}


def test_a_changed_tree_is_refused(tmp_path):
    save_taskset([with_suite()], tmp_path / "s.jsonl", "s")
    text = (tmp_path / "s.jsonl").read_text().replace("a + b", "a * b")
    (tmp_path / "s.jsonl").write_text(text)
    with pytest.raises(TaskFormatError, match=r"line 1: tree: these files have the hash"):
        load_taskset(tmp_path / "s.jsonl")


def test_a_task_can_be_written_by_hand():
    row = {
        "instance_id": "mine-1",
        "problem_statement": "add(1, 2) gives -1",
        "files": {"README": "sums\n", "calc.py": BROKEN},
        "editable": ["*.py"],
        "tests": {"test_calc.py": TEST},
        "FAIL_TO_PASS": ["test_calc.py::test_add"],
    }
    task = from_row(row)
    assert task.suite == Suite({"test_calc.py": TEST}, ("test_calc.py",))
    assert task.focus == Focus("calc.py", 1, 2)
    assert (task.split, task.pass_to_pass, task.solution) == (Split.TRAIN, (), {})
    assert task.source.function == "mine-1"
    assert from_row(to_row(task)) == task


@pytest.mark.parametrize(
    ("tests", "ids", "words"),
    [
        ({"test_calc.py": TEST}, ["test_add"], r"names \['test_add'\], which are no files"),
        ({"files": {}, "paths": ["t"]}, ["calc.py::x"], "tests.paths: 't' is neither"),
        ({"files": {}, "command": "x"}, ["calc.py::x"], "command"),
    ],
)
def test_a_suite_that_cannot_run_is_refused(tests, ids, words):
    row = {**to_row(invented()), "files": {"calc.py": BROKEN}, "focus": None, "calls": []}
    row |= {"editable": ["calc.py"], "tests": tests, "FAIL_TO_PASS": ids, "PASS_TO_PASS": []}
    with pytest.raises(TaskFormatError, match=words):
        from_row(row)


def test_the_row_written_by_hand_in_the_documentation_is_a_task():
    page = (Path(__file__).parents[1] / "docs" / "environments.md").read_text()
    row = json.loads(page.partition("```json\n")[2].partition("\n```")[0])
    task = from_row(row)
    with open_sandbox() as sandbox:
        assert prove(task, sandbox, times=1).ok

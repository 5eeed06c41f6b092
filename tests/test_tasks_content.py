"""A taskset's hash: the same for the same tasks in every form, another for every other content."""

from __future__ import annotations

import hashlib
import inspect
from dataclasses import replace
from types import SimpleNamespace

import pytest

from test_tasks_rows import invented, with_suite
from toprope.climb.opening import require_same
from toprope.climb.rundir import RunDirError
from toprope.grading import runner
from toprope.tasks import Form, flattened, load_any, make_taskset, make_tree, save_as, save_taskset
from toprope.tasks.taskset import canonical_lines
from toprope.terms import Split, Tier

RUNNER = inspect.getsource(runner)


def sharing():
    """Tasks that share a tree, one without a tree, one of calls; a path of the tree is removed."""
    first = with_suite()
    gone = next(path for path in first.tree.files if path not in first.files)
    return [
        first,
        with_suite("pack#2"),
        replace(first, id="pack#3", removed=(gone,), split=Split.HELDOUT, tier=Tier.FAR),
        flattened(with_suite("pack#4")),
        invented(),
        replace(invented("pack/mod.add#5"), tree=make_tree({"LICENCE": "MIT\n"})),
    ]


@pytest.mark.parametrize("form", [Form.HARBOR, Form.SWEBENCH])
def test_packed_to_another_form_and_back_keeps_the_hash(tmp_path, form):
    packed = save_taskset(sharing(), tmp_path / "t.jsonl", "t")
    out = tmp_path / ("out" if form is Form.HARBOR else "out.jsonl")
    save_as(load_any(tmp_path / "t.jsonl").tasks, out, form, runner=RUNNER)
    save_as(load_any(out).tasks, tmp_path / "back.jsonl", Form.PACKED)
    assert load_any(out).taskset.hash == packed.hash
    assert load_any(tmp_path / "back.jsonl").taskset.hash == packed.hash


def test_every_content_of_a_task_with_tests_is_in_the_hash():
    shared = {**with_suite().tree.files, "shared.py": "A = 1\n"}
    task = replace(with_suite(), tree=make_tree(shared))
    suite = task.suite
    others = [
        replace(task, statement="other"),
        replace(task, tree=make_tree({**shared, "shared.py": "A = 2\n"})),
        replace(task, tree=make_tree({**shared, "new.py": ""})),
        replace(task, removed=(*task.removed, "shared.py")),
        replace(task, files={**task.files, "more.py": ""}),
        replace(task, solution={**task.solution, "more.py": ""}),
        replace(task, suite=replace(suite, files={**suite.files, "more.py": ""})),
        replace(task, suite=replace(suite, timeout_s=suite.timeout_s + 1)),
        replace(task, editable=("other.py",)),
        replace(task, impossible=True),
    ]
    hashes = {make_taskset([one], "t").hash for one in [task, *others]}
    assert len(hashes) == len(others) + 1


def test_of_tasks_of_calls_it_is_that_of_their_lines_as_ever():
    tasks = [invented(), invented("pack/mod.add#2")]
    lines = hashlib.sha256(b"".join(canonical_lines(tasks))).hexdigest()
    assert make_taskset(tasks, "t").hash == lines


def test_a_run_begun_under_the_hash_of_the_packed_lines_goes_on_and_no_other_does(tmp_path):
    taskset = make_taskset(sharing(), "t")
    former = hashlib.sha256(b"".join(canonical_lines(taskset.tasks))).hexdigest()
    assert former != taskset.hash

    def go_on(begun):
        facts = {"taskset": {"name": "t", "hash": begun}}
        require_same(SimpleNamespace(facts=lambda: facts), SimpleNamespace(path=tmp_path), taskset)

    go_on(former)
    go_on(taskset.hash)
    with pytest.raises(RunDirError, match="another version of taskset t"):
        go_on(make_taskset(sharing()[:2], "t").hash)

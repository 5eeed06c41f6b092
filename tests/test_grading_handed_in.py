"""What of a folder is an attempt: editable files and tampered tests, never what is beside them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from test_tasks_rows import invented, with_suite
from toprope.grading.handed_in import NoAttempt, handed_in
from toprope.grading.verdict import refusal
from toprope.tasks import flattened, make_tree

CODE = "src/calc.py"
WHOLE = "def test_a():\n    assert True\n\ndef test_b():\n    assert True\n"
CUT = WHOLE.partition("\n\n")[0] + "\n"


def task(removed=False):
    """A task as the forge makes them: of the repository's tests a part is cut out, or a file."""
    tree = make_tree(
        {CODE: "good = 1\n", "tests/test_c.py": WHOLE, "README.md": "old\n", "setup.cfg": "[a]\n"}
    )
    base = with_suite()
    cut = {} if removed else {"tests/test_c.py": CUT}
    return replace(
        base,
        tree=tree,
        files={CODE: "bad = 1\n", **cut},
        removed=("tests/test_c.py",) if removed else (),
        focus=replace(base.focus, path=CODE, first=1, last=1),
        editable=("src/*.py", "!tests/*", "!conftest.py", "!*/conftest.py", "!setup.cfg"),
        fail_to_pass=("tests/test_c.py::test_b",),
        pass_to_pass=(),
        solution={CODE: "good = 1\n"},
        suite=replace(base.suite, files={"tests/test_c.py": WHOLE}, paths=("tests/test_c.py",)),
    )


@pytest.mark.parametrize("of", [task(), task(removed=True), flattened(task())])
def test_the_original_checkout_is_the_solution_and_no_hack(of):
    checkout = {**task().tree.files, "docs/index.md": "more\n", ".github/ci.yml": "on: push\n"}
    found = handed_in(of, checkout)
    assert found.changes == {CODE: "good = 1\n"}
    assert sorted(found.apart) == [".github/ci.yml", "docs/index.md"]
    assert refusal(of, found.changes) is None


@pytest.mark.parametrize("path", ["tests/test_c.py", "setup.cfg", "conftest.py", "src/conftest.py"])
@pytest.mark.parametrize("removed", [False, True])
def test_a_test_or_configuration_like_no_version_of_it_is_handed_in_as_a_hack(path, removed):
    of = task(removed)
    found = handed_in(of, {CODE: "good = 1\n", path: "def test_b():\n    pass\n"})
    assert path in found.changes
    assert refusal(of, found.changes).why == f"changed {path}, which is not editable"


def test_the_starting_state_changes_nothing_and_a_readme_does_not_count():
    assert not handed_in(task(), task().start()).changes
    found = handed_in(task(), {**task().start(), "README.md": "new\n"})
    assert (found.changes, found.apart) == ({}, ("README.md",))


def test_where_nothing_is_taken_out_every_other_file_of_the_task_is_protected():
    by_hand = replace(invented(), files={**invented().files, "oracle.py": "A = 1\n"})
    found = handed_in(by_hand, {"oracle.py": "A = 2\n", "notes.txt": "n\n"})
    assert (dict(found.changes), found.apart) == ({"oracle.py": "A = 2\n"}, ("notes.txt",))


def test_a_folder_of_another_place_is_refused_with_what_to_give():
    with pytest.raises(NoAttempt, match=r"give the folder in which src/calc\.py lies"):
        handed_in(task(), {f"part/{CODE}": "good = 1\n", "part/README.md": "old\n"})

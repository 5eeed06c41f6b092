"""Repositories of other shapes: unittest, doctests, odd names, parts, versions builds write."""

from dataclasses import replace

import pytest

from test_forge_repository import git, options, quiet
from toprope.forge.repository import make
from toprope.forge.repository.addopts import selecting
from toprope.forge.repository.baseline import NoUsableTests
from toprope.forge.repository.places import is_doctest_of_code
from toprope.forge.repository.trial import selected
from toprope.grading.verdict import is_editable

CODE = "def add(a, b):\n    return a + b\n"


def write(folder, files):
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return folder


def made(folder, tmp_path, **changes):
    chosen = replace(options(limit=1, pairs=0), **changes)
    return make(str(folder), tmp_path / "set" / "t.jsonl", chosen, tmp_path, quiet)


def test_unittest_and_a_part_of_a_monorepo(tmp_path):
    folder = write(
        tmp_path / "mono",
        {
            "other/broken.py": "import nothing_like_it\n",
            "sums/src/sums/__init__.py": CODE,
            "sums/tests/test_sums.py": "import unittest\nfrom sums import add\n\n"
            "class TestAdd(unittest.TestCase):\n    def test_add(self):\n"
            "        self.assertEqual(add(1, 2), 3)\n",
        },
    )
    (task,) = made(folder, tmp_path, root="sums").taskset.ordinary
    assert task.fail_to_pass == ("tests/test_sums.py::TestAdd::test_add",)
    assert set(task.start()) == {"src/sums/__init__.py", "tests/test_sums.py"}


def test_doctests_of_code_are_named_and_tests_of_odd_names_cannot_be_changed(tmp_path):
    folder = write(
        tmp_path / "odd",
        {
            "sums.py": CODE.replace(":\n", ':\n    """Add.\n\n    >>> add(1, 1)\n    2\n    """\n'),
            "check_sums.py": "from sums import add\n\ndef test_add():\n    assert add(1, 2) == 3\n",
            "pytest.ini": "[pytest]\npython_files = check_*.py\n",
        },
    )
    result = made(folder, tmp_path, pytest_args=("--doctest-modules",))
    assert result.baseline.bad == {"sums.py::sums.add": "doctest in code"}
    (task,) = result.taskset.ordinary
    assert task.fail_to_pass == ("check_sums.py::test_add",)
    assert task.source.path == "sums.py"
    assert not is_editable("check_sums.py", task)
    assert is_editable("sums.py", task)


@pytest.mark.parametrize(
    ("path", "text", "kept"),
    [
        (
            "pyproject.toml",
            "[tool.pytest.ini_options]\naddopts = \"-q -m 'not slow' --cov=x -n 4\"\n",
            ("-m", "not slow"),
        ),
        (
            "pyproject.toml",
            "[tool.pytest]\naddopts = ['--ignore=a', '--deselect', 'b::c', '-knot d', '-ra']\n",
            ("--ignore=a", "--deselect", "b::c", "-knot d"),
        ),
        ("tox.ini", "[pytest]\naddopts =\n    --import-mode=importlib\n    -v\n",
         ("--import-mode=importlib",)),
        ("setup.cfg", "[tool:pytest]\naddopts = --strict-markers -m\n", ()),
        ("pytest.ini", "[pytest]\naddopts = 'no end\n", ()),
        ("pyproject.toml", "not toml", ()),
        ("setup.cfg", "[metadata]\nname = x\n", ()),
    ],
)  # fmt: skip
def test_of_addopts_only_what_selects_tests_is_kept(path, text, kept):
    assert selecting({path: text}) == kept


def test_the_file_that_pytest_would_read_is_read():
    files = {"pytest.ini": "[pytest]\naddopts = -m a\n", "tox.ini": "[pytest]\naddopts = -m b\n"}
    assert selecting(files) == ("-m", "a")


def test_a_repository_that_makes_errors_of_warnings(tmp_path):
    """Plug-ins that a warm worker has imported are a warning to pytest: anyio brings one here."""
    folder = write(
        tmp_path / "strict",
        {
            "sums.py": CODE,
            "test_sums.py": "from sums import add\n\ndef test_add():\n    assert add(1, 2) == 3\n",
            "pytest.ini": "[pytest]\nfilterwarnings = error\n",
        },
    )
    assert len(made(folder, tmp_path).taskset.ordinary) == 1


def test_tests_that_the_repository_leaves_out_are_left_out(tmp_path):
    folder = write(
        tmp_path / "stress",
        {
            "sums.py": CODE,
            "test_sums.py": "import pytest\nfrom sums import add\n\n@pytest.mark.stress\n"
            "def test_long():\n    assert add(2, 1) == 3\n\n"
            "def test_add():\n    assert add(1, 2) == 3\n",
            "pytest.ini": "[pytest]\nmarkers = stress\naddopts = --cov=sums -m 'not stress'\n",
        },
    )
    result = made(folder, tmp_path)
    assert list(result.baseline.good) == ["test_sums.py::test_add"]
    assert result.pytest_args == ("-m", "not stress")


def test_a_case_with_a_point_in_its_name_is_no_doctest():
    assert not is_doctest_of_code("check.py::TestA::test_a[1.5]")
    assert not is_doctest_of_code("tests/test_a.py::pkg.func")
    assert is_doctest_of_code("pkg/mod.py::pkg.mod.func")


def test_a_version_that_git_ignores_is_taken_in_and_said(tmp_path):
    folder = write(
        tmp_path / "versioned",
        {
            "pack/__init__.py": f"from pack._version import version\n\n\n{CODE}",
            "pack/_version.py": "version = '1'\n",
            "pack/secret.py": "x = 1\n",
            "test_pack.py": "from pack import add\n\ndef test_a():\n    assert add(1, 2) == 3\n",
            ".gitignore": "_version.py\nsecret.py\n",
        },
    )
    git(folder, "init", "-q")
    result = made(folder, tmp_path)
    assert result.generated == ("pack/_version.py",)
    assert "pack/secret.py" not in result.taskset.ordinary[0].start()


def test_a_module_that_only_a_build_makes_is_named(tmp_path):
    folder = write(
        tmp_path / "fast",
        {
            "fast/__init__.py": "from fast._speed import add\n",
            "test_fast.py": "from fast import add\n\ndef test_a():\n    assert add(1, 2) == 3\n",
        },
    )
    with pytest.raises(NoUsableTests, match=r"fast\._speed belongs to the repository"):
        made(folder, tmp_path)


def test_how_many_tests_are_required_is_a_choice(tmp_path):
    cases = "[(1, 2), (2, 3), (3, 4)]"
    folder = write(
        tmp_path / "more",
        {
            "sums.py": f"{CODE}\n\ndef twice(n):\n    return add(n, n)\n",
            "far.py": "def far():\n    return 1\n",
            "test_all.py": "import pytest\nfrom far import far\nfrom sums import add, twice\n\n"
            f"@pytest.mark.parametrize(('a', 'c'), {cases})\ndef test_add(a, c):\n"
            "    assert add(a, 1) == c\n\ndef test_far():\n    assert far() == 1\n\n"
            "def test_twice():\n    assert twice(2) == 4\n",
        },
    )
    result = made(folder, tmp_path, most_tests=0)
    (task,) = result.taskset.ordinary
    assert len(task.fail_to_pass) + len(task.pass_to_pass) == 5

    class Site:
        path, tests = "sums.py", result.baseline.callers["sums.py", 1]

    assert len(Site.tests) == 4
    assert len(selected([Site], result.baseline, 2)) == 2
    assert len(selected([Site], result.baseline, 40)) == 4
    assert "test_all.py::test_far" in selected([Site], result.baseline, 41)

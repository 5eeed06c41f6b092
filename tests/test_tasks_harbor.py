"""Harbor folders: ours come back whole and really run; other people's say what they need."""

from __future__ import annotations

import inspect
import os
import shutil
import subprocess
import sys
import tomllib
from dataclasses import replace

import pytest

from test_tasks_rows import BROKEN, FIXED, TEST, invented, with_suite
from toprope.grading import runner
from toprope.tasks import (
    Foreign,
    Form,
    TargetInTheWay,
    TaskFormatError,
    TasksetNotFound,
    flattened,
    load_any,
    load_taskset,
    make_tree,
    read_harbor,
    save_as,
    write_harbor,
)
from toprope.terms import Call, Split, Suite, Tier

RUNNER = inspect.getsource(runner)


def there_and_back(task, folder):
    write_harbor(task, folder, RUNNER)
    return read_harbor(folder)


def strange():
    """A task whose every text has something that a file or TOML finds hard to hold."""
    return replace(
        invented("\udcff/\ud800 \x00'\"\\#1"),
        split=Split.HELDOUT,
        tier=Tier.FAR,
        statement="lone \ud800, \x00, \x7f, \r\n, \u2028, 'é' and no newline",
        files={"mod.py": "\x00\r\n\x0c\udcff\ufeff", "d/\udcfe é'\".txt": "", "tests/x": "\n"},
        focus=replace(invented().focus, first=1, last=1),
        editable=("*.py", "\ud800"),
        calls=(Call("c\x00", "('\\ud800\x7f',)", '"""\ud800'), Call("c1", "()", "'")),
        fail_to_pass=("c\x00",),
        pass_to_pass=("c1",),
        source=replace(invented().source, function="\udc80", licence="\x1f"),
        features={"a b": 1, "\ud800": -0.5, "big": 2**70, "inf": float("inf"), "yes": "\n"},
    )


@pytest.mark.parametrize(
    "task",
    [
        invented(),
        strange(),
        replace(invented(), solution={}, features={}, entry="mod.py:add"),
        with_suite(),
        flattened(with_suite()),
        replace(with_suite(), suite=replace(with_suite().suite, runner="plain")),
        replace(
            flattened(with_suite()),
            suite=Suite({}, ("calc.py",), ("src", ""), "an env\n", 1.5),
            fail_to_pass=("calc.py::test",),
        ),
    ],
    ids=["calls", "strange", "unsolved", "tree", "suite", "plain", "bare suite"],
)
def test_a_task_comes_back_from_its_folder_without_loss(task, tmp_path):
    assert there_and_back(task, tmp_path / "t") == flattened(task)


def test_flattening_puts_the_tree_into_the_files_and_leaves_other_tasks_as_they_are():
    flat = flattened(with_suite())
    assert (flat.tree, flat.removed) == (None, ())
    assert flat.files == {"calc.py": BROKEN, "logo.bin": "\udcff"}
    assert flattened(invented()) == invented()


def test_tasks_of_the_shipped_set_come_back_in_their_order(tmp_path):
    tasks = load_taskset("default").tasks[::160][:20]
    save_as(tasks, tmp_path / "set", Form.HARBOR, runner=RUNNER)
    assert len(tasks) == 20
    assert load_any(tmp_path / "set").tasks == tasks
    first = sorted((tmp_path / "set").iterdir())[0]
    assert load_any(first).tasks == tasks[:1]


def reward(folder, work, logs):
    """What test.sh of a task's folder says of the files in `work`."""
    places = {"TOPROPE_WORK": work, "TOPROPE_LOGS": logs, "TOPROPE_PYTHON": sys.executable}
    env = {**os.environ, **{name: str(place) for name, place in places.items()}}
    command = ["bash", str(folder / "tests" / "test.sh")]
    done = subprocess.run(command, env=env, capture_output=True, text=True, cwd=logs.parent)
    return (logs / "reward.txt").read_text().strip(), done.stdout + done.stderr


def rewards(folder, tmp_path):
    """The reward before and after the folder's own solve.sh."""
    work, logs = tmp_path / "work", tmp_path / "logs"
    shutil.copytree(folder / "environment" / "repo", work)
    before, _ = reward(folder, work, logs)
    env = {**os.environ, "TOPROPE_WORK": str(work)}
    subprocess.run(["bash", str(folder / "solution" / "solve.sh")], env=env, check=True)
    after, said = reward(folder, work, logs)
    return before, after, said


@pytest.mark.parametrize("task", [invented(), with_suite()], ids=["calls", "suite"])
def test_the_folders_own_scripts_tell_broken_from_mended(task, tmp_path):
    write_harbor(task, tmp_path / "t", RUNNER)
    before, after, said = rewards(tmp_path / "t", tmp_path)
    assert (before, after) == ("0", "1"), said


def test_the_scripts_agree_with_the_shipped_tasks(tmp_path):
    for place, task in enumerate(load_taskset("default").tasks[::540]):
        folder = tmp_path / str(place)
        write_harbor(task, folder / "t", RUNNER)
        assert rewards(folder / "t", folder)[:2] == ("0", "1"), task.id


def test_imports_and_odd_test_ids_reach_pytest_unharmed(tmp_path):
    test = (
        "import pytest\nfrom calc import add\n\n\n"
        "@pytest.mark.parametrize('text', ['$HOME `a` \"b\" \\'c\\' x'])\n"
        "def test_add(text):\n    assert add(1, 2) == 3\n"
    )
    name = "t/test_calc.py::test_add[$HOME `a` \"b\" 'c' x]"
    task = replace(
        flattened(with_suite()),
        files={"s $r'\"c/calc.py": BROKEN, "calc.py": "raise SystemExit\n"},
        focus=replace(with_suite().focus, path="s $r'\"c/calc.py"),
        solution={"s $r'\"c/calc.py": FIXED},
        suite=Suite({"t/test_calc.py": test}, ("t",), ("s $r'\"c", "")),
        fail_to_pass=(name,),
    )
    write_harbor(task, tmp_path / "t", RUNNER)
    before, after, said = rewards(tmp_path / "t", tmp_path)
    assert (before, after) == ("0", "1"), said


@pytest.mark.parametrize(
    "attempt",
    [
        "import os\nos._exit(0)\n",
        "import pytest\npytest.skip('no', allow_module_level=True)\n",
        "def add(a, b):\n    import pytest\n    pytest.skip('no')\n",
    ],
    ids=["leaves", "skips all", "skips one"],
)
def test_an_attempt_that_only_avoids_the_tests_gets_nothing(attempt, tmp_path):
    write_harbor(with_suite(), tmp_path / "t", RUNNER)
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "calc.py").write_text(attempt)
    assert reward(tmp_path / "t", tmp_path / "work", tmp_path / "logs")[0] == "0"


def test_a_suite_that_never_ends_is_ended_by_its_own_limit(tmp_path):
    task = with_suite()
    write_harbor(replace(task, suite=replace(task.suite, timeout_s=1.0)), tmp_path / "t", RUNNER)
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "calc.py").write_text("while True:\n    pass\n")
    assert reward(tmp_path / "t", tmp_path / "work", tmp_path / "logs")[0] == "0"


@pytest.mark.parametrize(
    "attempt",
    [
        "import os\nos._exit(0)\n",
        "import os, sys\ndef add(a, b):\n    os.write(int(sys.argv[2]), b'{}')\n    os._exit(0)\n",
        "import os, sys\ndef add(a, b):\n    os.write(int(sys.argv[2]), b'[]\\n')\n    return 3\n",
    ],
    ids=["leaves", "forges a record", "adds to the record"],
)
def test_calls_that_end_without_an_honest_record_get_nothing(attempt, tmp_path):
    write_harbor(invented(), tmp_path / "t", RUNNER)
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "mod.py").write_text(attempt)
    assert reward(tmp_path / "t", tmp_path / "work", tmp_path / "logs")[0] == "0"


def test_the_config_is_harbors_and_shuts_the_network(tmp_path):
    write_harbor(with_suite(), tmp_path / "t", RUNNER)
    config = tomllib.loads((tmp_path / "t" / "task.toml").read_text())
    assert config["schema_version"] == "1.4"
    assert config["task"]["name"].startswith("toprope/pack-1-")
    assert config["verifier"]["environment_mode"] == "separate"
    assert config["verifier"]["network_mode"] == config["environment"]["network_mode"]
    assert config["environment"]["network_mode"] == "no-network"
    assert config["artifacts"] == ["/work/mod.py"], "only what may be changed is carried over"
    assert config["metadata"]["toprope"]["fail_to_pass"] == ["tests/test_calc.py::test_add"]
    assert "COPY repo/ /work/" in (tmp_path / "t" / "environment" / "Dockerfile").read_text()
    assert not (tmp_path / "t" / "environment" / "repo" / "tests").exists()


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"../x.py": ""}, "the path '../x.py' is not one below the task's folder"),
        ({"a/../../x.py": ""}, "not one below"),
        ({"/etc/x": ""}, "not one below"),
        ({"a//b": ""}, "not one below"),
        ({".": ""}, "not one below"),
        ({"a\0b": ""}, "not one below"),
        ({"\ud800": ""}, "is no file name"),
        ({"half.py": "\ud800"}, r"'half.py' holds half characters"),
        ({"two.py": "\udcc3\udca9"}, "'two.py' holds half characters"),
        ({"a": "", "a/b": ""}, "'a/b' needs a folder where another path has a file"),
    ],
)
def test_a_file_that_would_not_come_back_from_below_the_folder_is_refused(files, words, tmp_path):
    with pytest.raises(TaskFormatError, match=words):
        write_harbor(replace(invented(), solution=files), tmp_path / "deep" / "t", RUNNER)
    assert {path.name for path in tmp_path.iterdir()} == {"deep"}


def harbor_folder(folder, toml="", **files):
    files = {"instruction.md": "Mend it.", "task.toml": toml, **files}
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


TESTS = {"tests/test.sh": "pytest", "tests/test_outputs.py": TEST}


@pytest.mark.parametrize(
    ("toml", "files", "needs"),
    [
        ('[environment]\ndocker_image = "some/image:1"', TESTS, "docker_image is set"),
        ('[verifier.environment]\ndocker_image = "some/image:1"', TESTS, "docker_image is set"),
        ("", {"environment/docker-compose.yaml": "x", **TESTS}, "it has several containers"),
        ("", {"environment/Dockerfile": "FROM x\nRUN apt-get install y\n", **TESTS},
         "its Dockerfile runs commands"),
        ("", {"environment/Dockerfile": "FROM x\nCOPY . /app\n", "tests/test.sh": "make"},
         "it has no Python tests"),
        ("", {"environment/Dockerfile": "FROM x\nCOPY . /app\n", **TESTS},
         "no fail_to_pass in [metadata.toprope]"),
    ],
)  # fmt: skip
def test_another_makers_task_is_kept_with_what_it_needs(toml, files, needs, tmp_path):
    folder = harbor_folder(tmp_path / "fix-it", toml, **files)
    found = read_harbor(folder)
    assert found == Foreign("fix-it", "Mend it.", needs, found.files)
    assert found.files.items() >= files.items()


def test_the_steps_of_another_makers_task_are_its_statement(tmp_path):
    toml = '[task]\nname = "some/one"\n[[steps]]\nname = "a"\n[[steps]]\nname = "b"\n'
    steps = {"steps/a/instruction.md": "First.", "steps/b/instruction.md": "Then."}
    found = read_harbor(harbor_folder(tmp_path / "t", toml, **steps))
    assert (found.id, found.statement) == ("some/one", "First.\n\nThen.")
    assert found.needs == "it has several steps"


def test_another_makers_task_runs_here_once_its_tests_are_named(tmp_path):
    toml = '[metadata.toprope]\neditable = ["*.py"]\nfail_to_pass = ["test_calc.py::test_add"]\n'
    files = {"environment/repo/calc.py": BROKEN, "tests/files/test_calc.py": TEST}
    task = read_harbor(harbor_folder(tmp_path / "mine", toml, **files))
    assert (task.id, task.statement, task.solution) == ("mine", "Mend it.", {})
    assert task.suite == Suite({"test_calc.py": TEST}, ("test_calc.py",))


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ("x = 1\ny = ?", r"t/task.toml: cannot be read \(.*line 2"),
        ("metadata = 1", "t/task.toml: metadata: expected a table, got '1'"),
        ("[metadata]\ntoprope = 1", "t/task.toml: toprope: expected a table"),
        ("[metadata.toprope]", "t/task.toml: the key 'editable' is missing"),
        ('[metadata.toprope]\nid_json = "{"', "t/task.toml: .*id_json: expected JSON"),
        ('[metadata.toprope]\nsuite = "x"', r"t/task.toml: \[metadata.toprope\]"),
        ('[metadata.toprope]\neditable = ["x"]\ncalls = []', "editable: none of"),
    ],
)
def test_a_folder_that_is_no_sound_task_is_refused_with_its_file(toml, words, tmp_path):
    with pytest.raises(TaskFormatError, match=words):
        read_harbor(harbor_folder(tmp_path / "t", toml))


def test_a_folder_without_a_statement_or_with_a_link_is_refused(tmp_path):
    write_harbor(invented(), tmp_path / "t", RUNNER)
    (tmp_path / "t" / "environment" / "repo" / "out").symlink_to("/etc/passwd")
    with pytest.raises(TaskFormatError, match="'out' is a link"):
        read_harbor(tmp_path / "t")
    (tmp_path / "t" / "environment" / "repo" / "out").unlink()
    (tmp_path / "t" / "instruction.md").unlink()
    with pytest.raises(TaskFormatError, match=r"instruction\.md: is missing"):
        read_harbor(tmp_path / "t")


def test_a_folder_of_folders_is_read_and_an_empty_one_refused(tmp_path):
    write_harbor(invented(), tmp_path / "set" / "tasks" / "one", RUNNER)
    harbor_folder(tmp_path / "set" / "tasks" / "two")
    loaded = load_any(tmp_path / "set")
    assert loaded.tasks == (invented(),)
    assert [task.id for task in loaded.foreign] == ["two"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(TasksetNotFound, match=r"has a task\.toml in it"):
        load_any(tmp_path / "empty")


def test_a_target_is_replaced_only_if_it_is_a_set_and_that_was_said(tmp_path):
    target = tmp_path / "set"
    save_as([invented()], target, Form.HARBOR, runner=RUNNER)
    with pytest.raises(TargetInTheWay, match="--force"):
        save_as([with_suite()], target, Form.HARBOR, runner=RUNNER)
    save_as([with_suite()], target, Form.HARBOR, runner=RUNNER, force=True)
    assert load_any(target).tasks == (flattened(with_suite()),)
    (target / "letters").mkdir()
    with pytest.raises(TargetInTheWay, match="'letters', which is no task"):
        save_as([invented()], target, Form.HARBOR, runner=RUNNER, force=True)
    (tmp_path / "f.jsonl").mkdir()
    with pytest.raises(TargetInTheWay, match="is a folder"):
        save_as([invented()], tmp_path / "f.jsonl", Form.PACKED)


def test_a_tree_that_tasks_share_is_whole_in_each_folder(tmp_path):
    tree = make_tree({"calc.py": FIXED, "big.txt": "x\n"})
    task = replace(with_suite(tree=tree), removed=())
    write_harbor(task, tmp_path / "t", RUNNER)
    repo = tmp_path / "t" / "environment" / "repo"
    assert {path.name: path.read_text() for path in repo.iterdir()} == task.start()

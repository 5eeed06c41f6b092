"""Jobs with an interpreter of the user's, a shared tree, tools: and what they must not see."""

import os
import subprocess
import sys
import sysconfig

import pytest

import toprope
from toprope.sandbox import Job, Limits, SandboxUnavailable, UnknownEnvironment, open_sandbox
from toprope.sandbox.namespaces import NamespaceSandbox
from toprope.tasks import make_tree
from toprope.terms import Environment

OURS = Environment(python=sys.executable)
TYPER = os.path.join(sysconfig.get_path("purelib"), "typer")
ENVIRONMENTS = {
    "ours": OURS,
    "tools": Environment(tools=True),
    "covered": Environment(python=sys.executable, hidden=(TYPER,)),
    "absent": Environment(python="/no/such/python"),
    "poor": Environment(python=sys.executable, warm=("no_such",)),
}
TREE = make_tree({"pkg/__init__.py": "X = 1\n", "pkg/data/raw.bin": "\udcff\n", "old.py": "1\n"})


@pytest.fixture(scope="module")
def sandbox():
    opened = open_sandbox(workers=1, environments=ENVIRONMENTS)
    yield opened
    opened.close()


def said(sandbox, program, **more):
    more.setdefault("limits", Limits(processes=40, descriptors=256))
    result = sandbox.run(Job("j", more.pop("files", {}), program, **more))
    assert result.status == "exited", result
    return result.stdout.decode()


def test_a_tree_is_shown_copy_on_write(sandbox):
    change = "import os; open('pkg/__init__.py', 'a').write('Y = 2'); os.unlink('old.py')\n"
    look = "import os; print(sorted(os.listdir('.')), open('pkg/__init__.py').read())"
    files = {"new.py": "", "pkg/mod.py": "Z = 3\n"}
    first = said(sandbox, change + look, tree=TREE, files=files)
    assert first == "['__pycache__', 'new.py', 'pkg'] X = 1\nY = 2\n"
    assert said(sandbox, look, tree=TREE) == "['__pycache__', 'old.py', 'pkg'] X = 1\n\n"


def test_bytes_that_are_no_text_arrive_as_they_were(sandbox):
    assert said(sandbox, "print(open('pkg/data/raw.bin', 'rb').read())", tree=TREE) == (
        "b'\\xff\\n'\n"
    )


def test_compiled_code_is_there_for_unchanged_modules_only(sandbox):
    program = (
        "import sys, glob, pkg, old; print(pkg.X, old.__file__, sorted(glob.glob('**/*.pyc', "
        "recursive=True)))"
    )
    tree = make_tree({"pkg/__init__.py": "X = 1\n", "old.py": "A = 1\n", "gone.py": ""})
    tag = sys.implementation.cache_tag
    told = said(sandbox, program, tree=tree, files={"pkg/__init__.py": "X = 2\n"})
    assert (
        told == f"2 /box/work/old.py ['__pycache__/gone.{tag}.pyc', '__pycache__/old.{tag}.pyc']\n"
    )
    told = said(sandbox, program, tree=tree, removed=("gone.py",))
    assert told.startswith("1 ")
    assert "gone" not in told


def test_removed_files_are_absent_and_folders_can_be_made_anew(sandbox):
    program = (
        "import os, shutil; print(os.path.exists('old.py')); shutil.rmtree('pkg'); "
        "os.mkdir('pkg'); print(os.listdir('pkg'))"
    )
    assert said(sandbox, program, tree=TREE, removed=("old.py",)) == "False\n[]\n"


def test_the_pristine_tree_and_other_trees_are_out_of_reach(sandbox):
    other = make_tree({"secret.py": "answer = 42\n"})
    said(sandbox, "pass", tree=other)
    program = (
        "import os\nfound = []\nfor top, folders, names in os.walk('/'):\n"
        "    folders[:] = [f for f in folders if os.path.join(top, f) not in ('/usr', '/lib')]\n"
        "    found += [open(os.path.join(top, n)).read() for n in names if n in ('secret.py', "
        "'old.py')]\nprint(set(found), os.listdir('/trees'))"
    )
    assert said(sandbox, program, tree=TREE, files={"old.py": "changed"}) == "{'changed'} []\n"


def test_many_trees_go_through_one_worker(sandbox):
    trees = [make_tree({"n.txt": str(n)}) for n in range(7)]
    for number in (0, 1, 2, 3, 4, 5, 6, 0, 6, 1):
        assert said(sandbox, "print(open('n.txt').read())", tree=trees[number]) == f"{number}\n"


def test_an_interpreter_brings_its_packages_and_the_default_has_none(sandbox):
    program = "import importlib.util as u; print(u.find_spec('pytest') is not None)"
    assert said(sandbox, program, environment="ours") == "True\n"
    assert said(sandbox, program) == "False\n"


def test_toprope_itself_cannot_be_read_where_its_packages_can(sandbox):
    package = os.path.dirname(toprope.__file__)
    program = (
        "import importlib.util as u, os; print(u.find_spec('pytest') is not None, "
        f"os.path.exists({package!r}) and os.listdir({package!r}))"
    )
    assert said(sandbox, program, environment="pytest") in ("True False\n", "True []\n")


def test_hidden_packages_cannot_be_read(sandbox):
    program = f"import os; print(os.listdir({TYPER!r}))"
    assert said(sandbox, program, environment="covered") == "[]\n"


def test_tools_bring_a_shell_and_commands(sandbox):
    program = (
        "import subprocess; print(subprocess.run('echo a b | sed s/a/c/; id -u', shell=True, "
        "capture_output=True, text=True).stdout)"
    )
    assert said(sandbox, program, environment="tools") == "c b\n1000\n\n"


def test_an_interpreter_below_tmp_works(tmp_path):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "v"], check=True)
    environment = Environment(python=str(tmp_path / "v" / "bin" / "python"))
    program = (
        "import sys, tempfile; print(sys.prefix); tempfile.TemporaryFile().write(b'x'); "
        f"import os; print(os.listdir({str(tmp_path)!r}))"
    )
    (tmp_path / "beside.txt").write_text("not to be seen")
    with NamespaceSandbox(1, {"v": environment}) as sandbox:
        assert said(sandbox, program, environment="v") == f"{tmp_path}/v\n['v']\n"


@pytest.mark.parametrize(
    ("environment", "error", "words"),
    [
        ("absent", SandboxUnavailable, "interpreter: .*No such file"),
        ("poor", SandboxUnavailable, "import no_such: .*install it"),
        ("other", UnknownEnvironment, "'other' is not known here; environment.toml"),
    ],
)
def test_an_environment_that_cannot_start_says_why(sandbox, environment, error, words):
    with pytest.raises(error, match=words):
        sandbox.run(Job("j", {}, "pass", environment=environment))
    assert said(sandbox, "print(1)") == "1\n", "the sandbox is as before"

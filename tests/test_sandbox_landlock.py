"""The Landlock level: what an honest job gets, when it is chosen, and what it leaves behind."""

from __future__ import annotations

import inspect
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import test_sandbox_faults
import test_sandbox_jobs
from landlock_parts import ORDINARY, landlock, open_to_all, python_for_all
from toprope.sandbox import Job, Limits, Sandbox, SandboxUnavailable, open_sandbox
from toprope.tasks import make_tree
from toprope.terms import Environment

SOURCE = test_sandbox_faults.SOURCE
globals().update(
    {
        name: test
        for name, test in vars(test_sandbox_jobs).items()
        if name.startswith("test_") and "sandbox" in inspect.signature(test).parameters
    }
)
test_a_worker_killed_during_a_job_is_an_error_and_is_replaced = (
    test_sandbox_faults.test_a_worker_killed_during_a_job_is_an_error_and_is_replaced
)
test_a_worker_lost_between_jobs_is_not_the_next_ones_fault = (
    test_sandbox_faults.test_a_worker_lost_between_jobs_is_not_the_next_ones_fault
)

TREE = make_tree({"pkg/__init__.py": "X = 1\n", "pkg/raw.bin": "\udcff\n", "old.py": "1\n"})


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with landlock(workers=2) as opened:
        assert opened.walls.level == "landlock"
        yield opened


@pytest.fixture(autouse=True)
def faults_at_this_level(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(test_sandbox_faults, "NamespaceSandbox", landlock)


def said(sandbox: Sandbox, program: str, **more: object) -> str:
    more.setdefault("limits", Limits(processes=40, descriptors=256))
    result = sandbox.run(Job("j", more.pop("files", {}), program, **more))  # type: ignore[arg-type]
    assert result.status == "exited", result
    return result.stdout.decode()


def test_an_honest_job_owns_what_it_makes(sandbox: Sandbox) -> None:
    program = """
import os, shutil, stat, subprocess, sys, tempfile
open("script", "w").write("x")
os.chmod("script", 0o751); os.utime("script", (5, 7.5)); os.utime("script", ns=(5, 8))
shutil.copy2("script", "copy"); os.fchmod(os.open("copy", 0), 0o711)
shutil.copytree(".", "all"); os.symlink("copy", "link"); os.chmod("link", 0o700)
os.chmod("all", 0o500); os.utime("all"); os.chmod("all/script", stat.S_ISUID | 0o700)
found = [os.stat(name) for name in ("script", "copy", "all", "all/script")]
print([oct(each.st_mode & 0o7777) for each in found], found[0].st_mtime_ns, found[1].st_mtime_ns)
with tempfile.TemporaryDirectory() as folder:
    print(folder.startswith(os.environ["TMPDIR"]), os.path.expanduser("~") == os.getcwd())
for mistake in (lambda: os.chmod("absent", 0), lambda: os.chmod("script/x", 0),
                lambda: os.utime("x" * 300), lambda: os.chmod("", 0)):
    try: mistake()
    except OSError as error: print(type(error).__name__, error.errno)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
child.terminate(); print(child.wait())
"""
    expected = (
        "['0o751', '0o700', '0o500', '0o700'] 8 8\nTrue True\nFileNotFoundError 2\n"
        "NotADirectoryError 20\nOSError 36\nFileNotFoundError 2\n-15\n"
    )
    assert said(sandbox, program) == expected
    with landlock(most_abi=4) as older:
        assert said(older, program) == expected, "also where signals have to be asked for"


def test_a_tree_is_a_copy_and_the_pristine_one_stays(sandbox: Sandbox) -> None:
    change = "import os; open('pkg/__init__.py', 'a').write('Y = 2'); os.unlink('old.py')\n"
    look = "import os; print(sorted(os.listdir('.')), open('pkg/__init__.py').read())\n"
    raw = "print(open('pkg/raw.bin', 'rb').read())"
    files = {"new.py": "", "pkg/mod.py": "Z = 3\n"}
    first = said(sandbox, change + look, tree=TREE, files=files)
    assert first == "['__pycache__', 'new.py', 'pkg'] X = 1\nY = 2\n"
    for _ in range(2):
        second = said(sandbox, look + raw, tree=TREE, removed=("old.py",))
        assert second == "['__pycache__', 'pkg'] X = 1\n\nb'\\xff\\n'\n"
    assert "gone" not in said(sandbox, "import glob; print(glob.glob('**', recursive=True))")


def test_many_trees_go_through_one_worker(sandbox: Sandbox) -> None:
    trees = [make_tree({"n.txt": str(n)}) for n in range(7)]
    for number in (0, 1, 2, 3, 4, 5, 6, 0, 6, 1):
        assert said(sandbox, "print(open('n.txt').read())", tree=trees[number]) == f"{number}\n"


def test_a_tree_does_not_count_against_the_disk(sandbox: Sandbox) -> None:
    tree = make_tree({f"f{number}": "x" * (1 << 20) for number in range(6)})
    limits = Limits(disk_mb=2)
    wait = "import time; time.sleep(0.2)"
    assert sandbox.run(Job("j", {}, wait, tree=tree, limits=limits)).why == "exited with 0"
    more = f"for n in range(3): open(f'more{{n}}', 'wb').write(bytes(1 << 20))\n{wait}"
    assert sandbox.run(Job("j", {}, more, tree=tree, limits=limits)).status == "limit"


def packages(tmp_path: Path) -> Path:
    """A folder of packages that every user can read, in one that they can reach."""
    for name in ("seen", "covered"):
        (tmp_path / "lib" / name).mkdir(parents=True)
        (tmp_path / "lib" / name / "__init__.py").write_text(f"NAME = {name!r}\n")
    (tmp_path / "beside.txt").write_text("secret")
    (tmp_path / "lib" / "out").symlink_to(tmp_path / "beside.txt")
    return tmp_path / "lib"


def test_an_environment_shows_and_hides(open_path: Path) -> None:
    lib = packages(open_path)
    environment = Environment(
        python=python_for_all(),
        shown=(str(lib),),
        hidden=(str(lib / "covered"),),
        tools=True,
        variables=(("PYTHONPATH", str(lib)), ("FLAVOUR", "sour")),
    )
    program = f"""
import os, subprocess, seen
print(seen.NAME, os.environ["FLAVOUR"], sorted(os.listdir({str(lib)!r})))
for name in ("covered/__init__.py", "../beside.txt", "out"):
    try: print(open({str(lib)!r} + "/" + name).read())
    except OSError as error: print(type(error).__name__)
try: import covered
except OSError as error: print(type(error).__name__)
print(subprocess.run("echo a b | sed s/a/c/ > made; cat made; python3 -c 'print(1)'", shell=True,
                     capture_output=True, text=True).stdout)
"""
    with landlock(environments={"e": environment}) as sandbox:
        told = said(sandbox, program, environment="e").splitlines()
    assert told == [
        "seen sour ['covered', 'out', 'seen']", "PermissionError", "PermissionError",
        "PermissionError", "PermissionError", "c b", "1", "",
    ]  # fmt: skip


def test_a_hidden_folder_is_not_reached_by_its_other_names(open_path: Path) -> None:
    lib = packages(open_path)
    alias = open_path / "alias"
    alias.symlink_to(lib)
    environment = Environment(shown=(str(alias), str(lib)), hidden=(str(alias / "covered"),))
    program = f"""
for top in ({str(alias)!r}, {str(lib)!r}):
    for name in ("seen", "covered"):
        try: print(open(f"{{top}}/{{name}}/__init__.py").read().strip())
        except OSError as error: print(type(error).__name__)
"""
    with landlock(environments={"e": environment}) as sandbox:
        told = said(sandbox, program, environment="e").splitlines()
    assert told == ["NAME = 'seen'", "PermissionError"] * 2


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user's jobs read what it reads")
def test_root_is_told_what_its_jobs_could_not_read(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    python = tmp_path / "python"
    python.symlink_to(python_for_all())
    environments = {"mine": Environment(python=str(python))}
    with (
        landlock(environments=environments) as sandbox,
        pytest.raises(SandboxUnavailable, match=r"every user may read.*python.*never run as root"),
    ):
        sandbox.run(Job("j", {}, "pass", environment="mine"))


def test_nothing_is_left_of_workers_that_end() -> None:
    with landlock() as sandbox:
        sandbox.run(Job("j", {"f": "1"}, "import os\nif os.fork() == 0: os.setsid()", tree=TREE))
        folder = Path(said(sandbox, "import os; print(os.getcwd())").strip()).parent.parent
        guard = sandbox.pids()[0]
        worker = _children(guard)[0]
        assert folder.is_dir()
        assert sorted(place.name for place in folder.iterdir()) == ["box", "trees"]
        assert list((folder / "box").iterdir()) == []
    _await(lambda: not folder.exists() and not Path(f"/proc/{worker}").exists())


@pytest.mark.parametrize("victim", ["trainer", "guard", "worker"])
def test_a_job_ends_with_its_trainer_its_guard_or_its_worker(victim: str) -> None:
    program = f"""
import sys; sys.path.insert(0, {SOURCE!r})
from toprope.sandbox import Job, worker
from toprope.sandbox.landlock import LandlockSandbox
worker.PYTHON = {python_for_all()!r}
sandbox = LandlockSandbox()
print(sandbox.pids()[0], flush=True)
detach = "import os, time\\nfor _ in range(2):\\n if os.fork() == 0: os.setsid()\\ntime.sleep(60)"
sandbox.run(Job("long", {{}}, detach))
"""
    trainer = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert trainer.stdout
    guard = int(trainer.stdout.readline())
    _await(lambda: len(_family(guard)) >= 6)
    family = _family(guard)
    folder = os.readlink(f"/proc/{family[-1]}/cwd")
    assert folder.endswith("/box/work")
    worker = _children(guard)[0]
    os.kill({"trainer": trainer.pid, "guard": guard, "worker": worker}[victim], signal.SIGKILL)
    _await(lambda: not any(map(_alive, (guard, *family))))
    _await(lambda: not os.path.exists(os.path.dirname(os.path.dirname(folder))))
    trainer.kill()
    trainer.wait()
    trainer.stdout.close()


def test_levels_are_chosen_by_name() -> None:
    with pytest.raises(ValueError, match="no level 'chroot', only namespaces and landlock"):
        open_sandbox(level="chroot")
    sandbox = open_sandbox(level="namespaces")
    sandbox.close()
    assert sandbox.walls.level == "namespaces"


# As Docker's profile or AppArmor's restriction does it: no new namespace for this process
# and its children, and (for the last test) no Landlock either.
FORBID = f"""
import sys; sys.path.insert(0, {SOURCE!r})
import errno
from toprope.sandbox import Job, SandboxUnavailable, open_sandbox, probe, worker
from toprope.sandbox.zygote import bpf, kernel, seccomp
worker.PYTHON = {{python!r}}
clone, unshare, setns = (56, 272, 308) if kernel.MACHINE == "x86_64" else (220, 97, 268)
rules = [(bpf.LOAD, 0, 0, bpf.NUMBER)]
for call in (unshare, setns, *{{more!r}}):
    rules += [(bpf.EQUAL, 0, 1, call), bpf.fail(errno.EPERM)]
rules += bpf.when(clone, [bpf.argument(0), (bpf.ANYBIT, 0, 1, 0x7E020000), bpf.fail(errno.EPERM)])
seccomp.install(bpf.assemble([*rules, (bpf.RETURN, 0, 0, bpf.ALLOW)]))
walls = probe()
print(walls.level, walls.isolated, walls.fix)
try:
    sandbox = open_sandbox()
    print(sandbox.walls.level, sandbox.run(Job("j", {{{{}}}}, "print(1)")).stdout)
    sandbox.close()
except SandboxUnavailable as refusal:
    print(refusal)
"""


def forbidden(more: tuple[int, ...] = (), user: int = 0) -> list[str]:
    python = python_for_all()
    command = [python, "-c", FORBID.format(python=python, more=more)]
    if user:
        command = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", *command]
    environ = {"PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("user", [0, ORDINARY])
def test_it_is_chosen_where_namespaces_are_forbidden(user: int) -> None:
    if user and (os.geteuid() != 0 or not open_to_all(SOURCE)):
        pytest.skip("an ordinary user cannot be tried here")
    seen, opened = forbidden(user=user)
    assert seen.startswith("landlock True These would stand with namespaces: ")
    assert "--unsafe-local" not in seen
    assert opened == r"landlock b'1\n'"


def test_without_landlock_too_it_refuses_and_names_both() -> None:
    seen, refused = forbidden(more=(444,))
    assert seen.startswith("unsafe-local False ")
    assert refused.startswith("untrusted code cannot be contained here (user namespace: ")
    assert "; Landlock: this kernel has none" in refused
    assert refused.endswith("or accept the risk with --unsafe-local.")


def _children(pid: int) -> list[int]:
    try:
        tasks = os.listdir(f"/proc/{pid}/task")
        listed = [Path(f"/proc/{pid}/task/{task}/children").read_text() for task in tasks]
    except OSError:
        return []
    return [int(number) for text in listed for number in text.split()]


def _family(pid: int) -> list[int]:
    found = _children(pid)
    return found + [each for child in found for each in _family(child)]


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _await(true: object) -> None:
    deadline = time.monotonic() + 20
    while not true():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.05)

"""When the sandbox itself fails, or cannot be made: said clearly, never passed over."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import toprope
from toprope.sandbox import Job, WorkerDied
from toprope.sandbox.advice import refusal
from toprope.sandbox.namespaces import NamespaceSandbox

SOURCE = str(Path(toprope.__file__).parent.parent)


def worker_process(sandbox: NamespaceSandbox) -> int:
    return sandbox.pids()[0]


@pytest.mark.parametrize("which", ["guard", "worker"])
def test_a_worker_killed_during_a_job_is_an_error_and_is_replaced(which: str) -> None:
    with NamespaceSandbox(1) as sandbox:
        victim = worker_process(sandbox)
        if which == "worker":
            victim = int(Path(f"/proc/{victim}/task/{victim}/children").read_text())
        timer = threading.Timer(0.3, os.kill, (victim, signal.SIGKILL))
        timer.start()
        with pytest.raises(WorkerDied, match="lost while it ran job doomed"):
            sandbox.run(Job("doomed", {}, "import time\ntime.sleep(20)"))
        timer.join()
        result = sandbox.run(Job("next", {}, "import os\nos.write(RESULT_FD, b'fine')"))
        assert result.result == b"fine"


@pytest.mark.parametrize("which", ["guard", "worker"])
def test_a_worker_lost_between_jobs_is_not_the_next_ones_fault(which: str) -> None:
    with NamespaceSandbox(1) as sandbox:
        guard = worker_process(sandbox)
        worker = int(Path(f"/proc/{guard}/task/{guard}/children").read_text())
        os.kill(guard if which == "guard" else worker, signal.SIGKILL)
        while _alive(guard) or _alive(worker):
            time.sleep(0.01)
        assert sandbox.run(Job("next", {}, "pass")).status == "exited"
        assert worker_process(sandbox) != guard


def test_workers_die_with_their_trainer() -> None:
    program = f"""
import sys, time; sys.path.insert(0, {SOURCE!r})
from toprope.sandbox import Job, open_sandbox
sandbox = open_sandbox()
print(sandbox.pids()[0], flush=True)
sandbox.run(Job("long", {{}}, "import time; time.sleep(30)"))
"""
    trainer = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert trainer.stdout
    guard = int(trainer.stdout.readline())
    time.sleep(0.3)
    worker = Path(f"/proc/{guard}/task/{guard}/children").read_text().split()
    assert len(worker) == 1
    trainer.kill()
    trainer.wait()
    trainer.stdout.close()
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and (_alive(guard) or _alive(int(worker[0]))):
        time.sleep(0.05)
    assert not _alive(guard)
    assert not _alive(int(worker[0]))


def test_where_namespaces_are_forbidden_it_refuses_and_says_what_to_do() -> None:
    # A system-call filter that forbids new namespaces, as a hardened container has one.
    program = f"""
import sys; sys.path.insert(0, {SOURCE!r})
from toprope.sandbox import SandboxUnavailable, open_sandbox, probe
from toprope.sandbox.zygote import kernel, seccomp
seccomp.install(seccomp.prepare(kernel.MACHINE))
walls = probe()
print(walls.isolated, walls.missing, walls.fix)
try:
    open_sandbox()
except SandboxUnavailable as refusal:
    print(refusal)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    seen, refused = done.stdout.splitlines()
    assert re.match(r"False .*user namespace: .*Operation not permitted.*--unsafe-local", seen)
    assert refused.startswith("untrusted code cannot be contained here (user namespace: ")
    assert refused.endswith("or accept the risk with --unsafe-local.")


@pytest.mark.parametrize(
    ("setting", "value", "command"),
    [
        ("kernel/unprivileged_userns_clone", "0", "kernel.unprivileged_userns_clone=1"),
        (
            "kernel/apparmor_restrict_unprivileged_userns",
            "1",
            "kernel.apparmor_restrict_unprivileged_userns=0",
        ),
        ("user/max_user_namespaces", "0", "user.max_user_namespaces=10000"),
    ],
)
def test_the_refusal_names_the_setting(
    tmp_path: Path, setting: str, value: str, command: str
) -> None:
    path = tmp_path / "proc/sys" / setting
    path.parent.mkdir(parents=True)
    path.write_text(value + "\n")
    error = refusal("user namespace", 1, "Operation not permitted", host=tmp_path)
    assert f"sudo sysctl -w {command}" in str(error)
    assert error.fix in str(error)


def test_the_refusal_in_a_container_names_its_options(tmp_path: Path) -> None:
    (tmp_path / ".dockerenv").touch()
    assert "--security-opt seccomp=unconfined" in refusal("mount", 1, "no", host=tmp_path).fix


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become an ordinary user")
def test_it_stands_for_an_ordinary_user_too(open_path: Path) -> None:
    python = shutil.which("python3", path="/usr/bin:/usr/local/bin")
    if not python or not shutil.which("setpriv"):
        pytest.skip("no Python that an ordinary user can reach")
    version = subprocess.run(
        [python, "-c", "import sys; print(sys.version_info >= (3, 11))"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    if version.stdout.strip() != "True":
        pytest.skip("the system's Python is too old")
    for folder in ("sandbox", "grading"):
        shutil.copytree(Path(SOURCE) / "toprope" / folder, open_path / "toprope" / folder)
    for name in ("__init__.py", "terms.py"):
        shutil.copy(Path(SOURCE) / "toprope" / name, open_path / "toprope")
    program = """
import os
from toprope.sandbox import Job, Start, open_sandbox
with open_sandbox() as sandbox:
    look = "import os; os.write(RESULT_FD, repr([os.getuid(), os.path.exists('/tmp/x')]).encode())"
    print(sandbox.walls.isolated, os.getuid(), sandbox.run(Job("a", {}, look)).result.decode())
    with sandbox.open(Start("s", {"old": "1"})) as session:
        late = session.python("import time; time.sleep(60)", b"", 0.2)
        session.write("new", "2")
        print(late.status, session.python(look, b"", 5).result.decode(), session.changed())
"""
    nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
    done = subprocess.run(
        [*nobody, python, "-c", program],
        env={"PYTHONPATH": str(open_path), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    expected = "True 65534 [1000, False]\ntimeout [1000, False] {'new': '2'}\n"
    assert done.stdout == expected, done.stderr


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False

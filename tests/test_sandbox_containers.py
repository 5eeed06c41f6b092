"""Workers in containers: the same jobs behind two walls, and errors that say what to do.

What needs a container is skipped, with the reason, where no engine starts one.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import toprope
from container_image import PACKAGES, PYTHON, import_image
from told import TELL
from toprope.sandbox import (
    Job,
    Limits,
    Sandbox,
    Start,
    WorkerDied,
    container_walls,
    containers,
    engines,
)
from toprope.sandbox.engines import NoContainer
from toprope.sandbox.namespaces import NamespaceSandbox
from toprope.tasks import make_tree
from toprope.terms import Environment

SOURCE = str(Path(toprope.__file__).parent.parent)


@pytest.fixture(scope="module")
def sandbox(image: engines.Image) -> Iterator[Sandbox]:
    furnished = Environment(image=image.name, tools=True, warm=("pytest",))
    with NamespaceSandbox(1, {"image": furnished}) as opened:
        yield opened


def run(sandbox: Sandbox, program: str, **more: object) -> object:
    limits = Limits(**more.pop("limits", {}))  # type: ignore[arg-type]
    job = Job("j", {}, TELL + program, limits=limits, environment="image", **more)  # type: ignore[arg-type]
    result = sandbox.run(job)
    assert result.status == "exited", (result, result.stdout.decode())
    return json.loads(result.result)


def ours(image: engines.Image) -> list[str]:
    """The containers of ours that the engine knows, running or not."""
    _, said, _ = engines.call(image.engine, "ps", "--all", "--format", "{{.Names}}")
    return [name for name in said.split() if name.startswith("toprope-")]


def test_a_job_finds_the_images_python_packages_and_variables(sandbox: Sandbox) -> None:
    program = """
import pytest
tell([sys.version, pytest.__file__, os.environ["OWN"], os.environ["HOME"], sorted(os.environ)])
"""
    version, place, own, home, names = run(sandbox, program)  # type: ignore[misc]
    assert (version, own, home) == (sys.version, "image", "/box/work")
    assert place.startswith(PACKAGES)
    engines_own = {"HOSTNAME", "container", "TERM", "http_proxy", "HTTP_PROXY"}
    assert not engines_own & set(names)


def test_a_tree_and_a_session_work_in_a_container_too(sandbox: Sandbox) -> None:
    tree = make_tree({"a.py": "A = 1\n"})
    assert run(sandbox, "import a; tell(a.A)", tree=tree) == 1
    with sandbox.open(Start("s", tree=tree, environment="image")) as session:
        assert session.run("echo B = 2 >> a.py; id -u", 10).stdout == b"1000\n"
        assert session.changed() == {"a.py": "A = 1\nB = 2\n"}


def test_a_job_in_a_container_is_cut_off_from_network_and_host(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("of the host")
    program = f"""
paths = ["/etc/shadow", "/proc/1", "/sys/kernel", "/home", "/toprope", "/.host", {SOURCE!r},
         {str(tmp_path)!r}]
tell({{"seen": [path for path in paths if os.path.exists(path)],
      "network": error(socket.socket(type=socket.SOCK_DGRAM).connect, ("192.0.2.1", 9)),
      "vsock": error(socket.socket, 40, 1), "write": error(open, "/usr/x", "w"),
      "user": os.getuid(), "first": os.getppid()}})
"""
    assert run(sandbox, program) == {
        "seen": [], "network": "ENETUNREACH", "vsock": "EAFNOSUPPORT", "write": "EROFS",
        "user": 1000, "first": 1,
    }  # fmt: skip


def test_the_limits_of_a_job_hold_in_a_container(sandbox: Sandbox) -> None:
    hog = (
        TELL
        + """
for _ in range(8):
    if os.fork() == 0:
        held = bytearray(100 << 20)
        for at in range(0, 100 << 20, 4096): held[at] = 1
        time.sleep(60)
time.sleep(60)
"""
    )
    limits = Limits(memory_mb=128, wall_s=20)
    result = sandbox.run(Job("hog", {}, hog, limits=limits, environment="image"))
    assert (result.status, result.why) == ("limit", "more than 128 MB of memory")
    bomb = "count = 0\nwhile error(os.fork) == 'done': count += 1\n"
    result = sandbox.run(Job("bomb", {}, TELL + bomb, environment="image"))
    assert result.status in ("limit", "timeout", "exited", "signalled")
    assert run(sandbox, "tell(1)") == 1


def test_the_container_is_a_wall_of_its_own(image: engines.Image) -> None:
    program = """
import ctypes, json, os, socket
libc = ctypes.CDLL(None, use_errno=True)
def call(x86_64, aarch64):
    done = libc.syscall(x86_64 if os.uname().machine == "x86_64" else aarch64, 0, 0, 0, 0, 0)
    return [done, ctypes.get_errno()]
def refused(action):
    try: action()
    except OSError as fault: return fault.errno in (1, 13, 30)
    return False
status = dict(line.split(":", 1) for line in open("/proc/self/status") if ":" in line)
print(json.dumps({
    "calls": [call(250, 219), call(321, 280), call(425, 425), call(319, 279)],
    "families": [refused(lambda: socket.socket(family, 1)) for family in (3, 9, 16, 17, 38, 40)],
    "rights": [status[name].strip() for name in ("CapEff", "CapBnd", "NoNewPrivs", "Seccomp")],
    "write": [refused(lambda: open(path, "w")) for path in
              ("/x", "/usr/x", "/proc/sys/kernel/core_pattern")],
    "user": os.getuid(), "links": os.listdir("/sys/class/net"),
    "proxies": [value for name, value in os.environ.items() if "proxy" in name.lower() and value],
}))
"""
    before = dict(os.environ)
    os.environ["http_proxy"] = "http://user:password@proxy.invalid"
    try:
        seen = json.loads(containers.ask(image, PYTHON, program))
    finally:
        os.environ.clear()
        os.environ.update(before)
    assert seen["calls"] == [[-1, 1]] * 4
    assert seen["families"] == [True] * 6
    assert seen["rights"] == ["0000000000000000", "0000000000000000", "1", "2"]
    assert (seen["write"], seen["user"], seen["links"]) == ([True] * 3, 65534, ["lo"])
    assert seen["proxies"] == []


def test_no_container_outlives_its_sandbox_or_its_worker(image: engines.Image) -> None:
    before = set(ours(image))
    environment = Environment(image=image.name)
    with NamespaceSandbox(1, {"image": environment}) as sandbox:
        assert run(sandbox, "tell(1)") == 1
        (name,) = set(ours(image)) - before
        engines.call(image.engine, "kill", "--signal", "KILL", name)
        with pytest.raises(WorkerDied):
            run(sandbox, "tell(2)")
        assert run(sandbox, "tell(3)") == 3, "the lost worker is replaced"
        assert name not in ours(image)
        sandbox._pool._idle[0][1].kill()
        assert set(ours(image)) == before
    with NamespaceSandbox(1, {"image": environment}) as sandbox:
        assert run(sandbox, "tell(1)") == 1
    assert set(ours(image)) == before


@pytest.mark.parametrize("moment", ["while it runs a job", "while it starts"])
def test_a_container_dies_with_its_trainer(
    image: engines.Image, moment: str, tmp_path: Path
) -> None:
    program = f"""
import sys, threading; sys.path.insert(0, {SOURCE!r})
from toprope.sandbox import Job, Limits, open_sandbox
from toprope.terms import Environment
environment = Environment(python={PYTHON!r}, image={image.name!r}, engine={image.engine!r})
sandbox = open_sandbox(environments={{"image": environment}})
print("starting", flush=True)
sandbox.run(Job("short", {{}}, "pass", environment="image"))
print("running", flush=True)
limits = Limits(wall_s=60)
sandbox.run(Job("long", {{}}, "import time; time.sleep(60)", limits=limits, environment="image"))
"""
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    trainer = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert trainer.stdout
    assert trainer.stdout.readline() == "starting\n"
    if moment == "while it runs a job":
        assert trainer.stdout.readline() == "running\n"
        time.sleep(0.3)
        assert [name for name in ours(image) if f"-{trainer.pid}-" in name]
        assert list(tmp_path.iterdir()) == [], "what a start needs is gone once it is over"
    trainer.send_signal(signal.SIGKILL)
    trainer.wait()
    trainer.stdout.close()
    time.sleep(1)  # for a container that the engine was still making
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if not [name for name in ours(image) if f"-{trainer.pid}-" in name]:
            return
        time.sleep(0.1)
    pytest.fail(f"{ours(image)} outlived the trainer")


def test_a_wall_that_the_engine_forbids_is_refused_with_the_remedy(
    image: engines.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without(*given: str) -> list[str]:
        at = options(*given)
        place = at.index("systempaths=unconfined")
        return at[: place - 1] + at[place + 1 :]

    before = ours(image)
    options = container_walls.options
    monkeypatch.setattr(container_walls, "options", without)
    with NamespaceSandbox(1, {"image": Environment(image=image.name)}) as sandbox:
        with pytest.raises(NoContainer, match="read-only root, inside the container") as refused:
            run(sandbox, "tell(1)")
        assert "systempaths" in refused.value.fix
        assert "`python` of this machine" in refused.value.fix
    assert ours(image) == before


@pytest.mark.parametrize(
    ("scripts", "python", "words"),
    [
        ({}, "", "it has no python3 that starts"),
        ({}, "/opt/python", "it has no /opt/python that starts"),
        (
            {"/usr/bin/python3": "#!/bin/sh\nprintf '/usr/bin/python3\\n3 8'\n"},
            "",
            "its python3 is Python 3.8, and 3.9 or newer is needed",
        ),
    ],
)
def test_an_image_without_a_fit_python_says_so(
    image: engines.Image, scripts: dict[str, str], python: str, words: str
) -> None:
    name = f"localhost/toprope-poor:{os.getpid()}-{len(scripts)}"
    assert import_image(image.engine, name, scripts, whole=False) == ""
    try:
        environment = Environment(image=name, engine=image.engine, python=python)
        with (
            NamespaceSandbox(1, {"image": environment}) as sandbox,
            pytest.raises(NoContainer, match=words),
        ):
            run(sandbox, "tell(1)")
    finally:
        engines.call(image.engine, "rmi", name)


def test_an_import_that_the_image_lacks_is_named(image: engines.Image) -> None:
    before = ours(image)
    poor = Environment(image=image.name, warm=("no_such",))
    words = "import no_such, inside the container"
    with (
        NamespaceSandbox(1, {"image": poor}) as sandbox,
        pytest.raises(NoContainer, match=words),
    ):
        run(sandbox, "tell(1)")
    assert ours(image) == before


def test_temporary_folders_of_a_refused_start_are_gone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, image: engines.Image
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    poor = Environment(image=image.name, warm=("no",))
    with NamespaceSandbox(1, {"image": poor}) as sandbox, pytest.raises(NoContainer):
        run(sandbox, "tell(1)")
    assert list(tmp_path.iterdir()) == []

"""Which engine and which image: what is missing is named with its remedy, and nothing is run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import toprope
from toprope.sandbox import (
    Job,
    SandboxUnavailable,
    Start,
    container_walls,
    engines,
    lacking,
    open_sandbox,
)
from toprope.sandbox.advice import refusal
from toprope.sandbox.engines import NoContainer
from toprope.terms import Environment

SOURCE = str(Path(toprope.__file__).parent.parent)
JOB = Job("j", {}, "pass", environment="image")


def test_an_image_that_is_not_here_names_the_command_that_fetches_it(image: engines.Image) -> None:
    absent = Environment(image="registry.invalid/no/such:1", engine=image.engine)
    with pytest.raises(NoContainer, match=f"`{image.engine} pull registry.invalid/no/such:1`"):
        engines.find(absent)
    assert lacking(absent) == (f"image registry.invalid/no/such:1: {image.engine} does not have it")


def test_without_an_engine_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with open_sandbox(environments={"image": Environment(image="some-image:none")}) as sandbox:
        with pytest.raises(SandboxUnavailable, match="neither podman nor docker is installed"):
            sandbox.run(JOB)
        assert sandbox.run(Job("other", {}, "print(1)")).stdout == b"1\n"
    assert engines.look() == ()
    assert lacking(Environment(image="some-image:none", engine="docker")) == (
        "image some-image:none: docker is not installed"
    )
    assert lacking(Environment(python="/usr/bin/python3")) == ""


def test_a_client_without_its_daemon_is_named_and_the_daemon_asked_for(tmp_path: Path) -> None:
    if not shutil.which("docker"):
        pytest.skip("there is no docker client here")
    program = f"""
import sys; sys.path.insert(0, {SOURCE!r})
from toprope.sandbox import engines, open_sandbox, Job
from toprope.terms import Environment
print([bool(engine.fault) for engine in engines.look() if engine.name == "docker"])
try:
    engines.find(Environment(image="some-image", engine="docker"))
except engines.NoContainer as fault:
    print(fault)
"""
    nowhere = {**os.environ, "DOCKER_HOST": f"unix://{tmp_path}/nobody-listens"}
    nowhere.pop("DOCKER_CONTEXT", None)
    done = subprocess.run(
        [sys.executable, "-c", program], env=nowhere, capture_output=True, text=True, check=True
    )
    seen, fault = done.stdout.splitlines()
    assert seen == "[True]"
    assert "docker does not answer: " in fault
    assert "systemctl start docker" in fault


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        (Environment(image="--privileged"), "no name of an image"),
        (Environment(image="a b"), "no name of an image"),
        (Environment(image="a", engine="/bin/evil"), "engine '/bin/evil' is not known"),
    ],
)
def test_names_from_a_file_cannot_become_options_or_programs(
    environment: Environment, words: str
) -> None:
    with pytest.raises(NoContainer, match=words):
        engines.find(environment)


def test_the_sandbox_without_walls_runs_no_image(tmp_path: Path) -> None:
    environments = {"image": Environment(image="some-image")}
    with open_sandbox(unsafe_local=True, environments=environments) as sandbox:
        with pytest.raises(NoContainer, match="plain processes"):
            sandbox.run(JOB)
        with pytest.raises(NoContainer, match="plain processes"):
            sandbox.open(Start("s", environment="image"))
        assert sandbox.run(Job("other", {}, "print(1)")).stdout == b"1\n"


def test_what_raises_the_wall_inside_is_said_in_terms_of_the_container(tmp_path: Path) -> None:
    setting = tmp_path / "proc/sys/user/max_user_namespaces"
    setting.parent.mkdir(parents=True)
    setting.write_text("0")
    fault = refusal("user namespace", 28, "No space left", host=tmp_path, image="some-image")
    assert isinstance(fault, NoContainer)
    assert "user.max_user_namespaces=10000" in fault.fix
    assert "--unsafe-local" not in str(fault)


def test_the_containers_filter_allows_no_more_of_the_denied_than_the_worker_needs() -> None:
    profile = json.loads(container_walls.filter_text())
    denied = set(profile["syscalls"][0]["names"])
    assert {"keyctl", "bpf", "io_uring_setup", "ptrace", "setns", "chroot"} <= denied
    assert not denied & {"mount", "umount2", "pivot_root", "unshare", "sethostname"}

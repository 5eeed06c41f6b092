"""The local model's server: waited for, and gone when its user is gone, however that ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import httpx
import pytest

from toprope.climb.config import load_config
from toprope.climb.help import teacher as climb_teacher
from toprope.sandbox import open_sandbox
from toprope.teacher.live import LiveTeacher
from toprope.teacher.openai import Endpoint
from toprope.teacher.server import ServerError, ServerSettings, TeacherServer, about, gguf_sha256

STAND_IN = """
import json, os, sys, threading
from http.server import BaseHTTPRequestHandler, HTTPServer

settings = json.loads(sys.argv[1])
asked = []

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        asked.append(self.path)
        tags = ["server=stand-in-1", "sha256=" + settings["gguf_sha256"]]
        body = json.dumps({"data": [{"id": settings["model"], "tags": tags}]}).encode()
        self.send_response(503 if len(asked) < 3 else 200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass

server = HTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
sys.stdin.buffer.read()
os._exit(0)
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    (tmp_path / "tutor.gguf").write_bytes(b"GGUF and then weights")
    return tmp_path / "tutor.gguf"


@pytest.fixture
def program(tmp_path: Path) -> tuple[str, ...]:
    (tmp_path / "stand_in.py").write_text(STAND_IN)
    return (str(tmp_path / "stand_in.py"),)


def listens(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=60).status_code == 200
    except httpx.HTTPError:
        return False


def gone_soon(url: str) -> bool:
    until = time.monotonic() + 60
    while listens(url) and time.monotonic() < until:
        time.sleep(0.05)
    return not listens(url)


def test_the_server_is_healthy_inside_tells_its_build_and_is_gone_after(
    model: Path, program: tuple[str, ...]
) -> None:
    with TeacherServer(model, program=program) as server:
        assert listens(server.url)
        told = about(Endpoint(server.url))
    assert (told.model, told.server) == ("tutor", "stand-in-1")
    assert told.gguf_sha256 == server.gguf_sha256
    assert len(told.gguf_sha256) == 64
    assert gone_soon(server.url)


def test_the_server_dies_with_a_parent_that_is_killed(
    model: Path, program: tuple[str, ...]
) -> None:
    source = (
        "import time; from pathlib import Path; from toprope.teacher.server import TeacherServer\n"
        f"with TeacherServer(Path({str(model)!r}), program={program!r}) as server:\n"
        "    print(server.url, flush=True); time.sleep(60)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    user = subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE, env=environment)
    assert user.stdout is not None
    url = user.stdout.readline().decode().strip()
    assert listens(url)
    user.send_signal(signal.SIGKILL)
    user.wait()
    user.stdout.close()
    assert gone_soon(url)


def test_a_climb_of_a_local_teacher_starts_its_server_and_ends_it(
    model: Path, program: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOPROPE_CACHE", str(tmp_path))
    monkeypatch.setattr(climb_teacher, "TeacherServer", partial(TeacherServer, program=program))
    config = load_config("small", ["teacher.kind=llama", f"teacher.model={model}"])
    sandbox = open_sandbox(workers=1)
    try:
        with ExitStack() as held:
            teacher = climb_teacher.make_teacher(
                config.teacher, sandbox, held, resumed=False, say=lambda text: None
            )
            assert isinstance(teacher, LiveTeacher)
            url = teacher._endpoint.url.removesuffix("/v1")
            assert listens(url)
            assert teacher.name == "tutor"
            assert teacher._identity["sha256"] == gguf_sha256(model)
    finally:
        sandbox.close()
    assert gone_soon(url)


def test_a_server_that_ends_at_once_or_never_gets_healthy_is_an_error(
    model: Path, tmp_path: Path
) -> None:
    (tmp_path / "ends.py").write_text("raise SystemExit(3)")
    with (
        pytest.raises(ServerError, match="ended at once"),
        TeacherServer(model, program=(str(tmp_path / "ends.py"),)),
    ):
        pass
    (tmp_path / "deaf.py").write_text(
        "import sys; print('http://127.0.0.1:9', flush=True); sys.stdin.buffer.read()"
    )
    with (
        pytest.raises(ServerError, match="not healthy"),
        TeacherServer(model, ServerSettings(start_s=0.5), program=(str(tmp_path / "deaf.py"),)),
    ):
        pass


def test_a_model_that_is_missing_or_no_gguf_is_refused_before_anything_starts(
    tmp_path: Path, program: tuple[str, ...]
) -> None:
    with pytest.raises(ServerError, match="no model"):
        TeacherServer(tmp_path / "none.gguf", program=program)
    (tmp_path / "page.gguf").write_text("<html>")
    with pytest.raises(ServerError, match="not a GGUF"):
        TeacherServer(tmp_path / "page.gguf", program=program)

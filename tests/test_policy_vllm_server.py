"""A server and its workers live as long as whoever started them, however that one ends."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

import toprope
from toprope.policy.vllm_server import (
    PYTHON_VARIABLE,
    ServerError,
    Serving,
    VllmServer,
    command,
    find_python,
)

SOURCE = Path(toprope.__file__).parent.parent
STAND_IN = """#!{python}
# Takes vLLM's command line, has a worker that outlives its parent, and is healthy.
import fcntl, http.server, os, signal, sys, time
lock = open({lock!r}, "w")
fcntl.flock(lock, fcntl.LOCK_SH)
if {broken}:
    sys.exit(3)
if os.fork() == 0:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(3600)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(os.environ.get("VLLM_ALLOW_RUNTIME_LORA_UPDATING", "").encode())
    def log_message(self, *_):
        pass
port = int(sys.argv[sys.argv.index("--port") + 1])
http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""


def stand_in(folder: Path, monkeypatch: pytest.MonkeyPatch, *, broken: bool = False) -> Path:
    """Put a program in vLLM's place; return the file that it and its worker hold."""
    lock, program = folder / "held", folder / "python"
    program.write_text(STAND_IN.format(python=sys.executable, lock=str(lock), broken=broken))
    program.chmod(0o755)
    monkeypatch.setenv(PYTHON_VARIABLE, str(program))
    return lock


def wait_until_all_ended(lock: Path) -> None:
    """Return when nobody holds the file any more, however busy the machine; fail after minutes."""
    until = time.monotonic() + 120
    with lock.open("w") as file:
        while True:
            try:
                return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                assert time.monotonic() < until, "a server or its worker is still there"
                time.sleep(0.05)


def test_closing_ends_the_server_and_its_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = stand_in(tmp_path, monkeypatch)
    with VllmServer(tmp_path) as server:
        assert httpx.get(f"{server.url}/health").text == "1"
    wait_until_all_ended(lock)
    server.close()  # twice does no harm


def test_a_killed_user_leaves_no_server_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = stand_in(tmp_path, monkeypatch)
    program = (
        "import os, pathlib\nfrom toprope.policy.vllm_server import VllmServer\n"
        f"VllmServer(pathlib.Path({str(tmp_path)!r})).__enter__()\nos.kill(os.getpid(), 9)"
    )
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, check=False)
    assert done.returncode == -signal.SIGKILL
    wait_until_all_ended(lock)


def test_a_server_that_ends_while_it_loads_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(tmp_path, monkeypatch, broken=True)
    with (
        pytest.raises(ServerError, match=r"ended while it loaded.*its log is"),
        VllmServer(tmp_path, log=tmp_path / "log"),
    ):
        pass
    assert "status 3" in (tmp_path / "log").read_text()


def test_no_vllm_is_said_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PYTHON_VARIABLE, str(tmp_path / "none"))
    with pytest.raises(ServerError, match="make vllm-env"):
        find_python()


def test_the_rank_is_one_that_the_server_takes(tmp_path: Path) -> None:
    words = command(tmp_path, tmp_path, 1, Serving(lora_rank=20))
    assert words[words.index("--max-lora-rank") + 1] == "32"
    with pytest.raises(ServerError, match="512"):
        command(tmp_path, tmp_path, 1, Serving(lora_rank=513))

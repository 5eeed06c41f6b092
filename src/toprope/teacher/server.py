"""Starts llama.cpp's own OpenAI-compatible server on a free loopback port, and ends it.

The server is a child process that lives no longer than its user: it ends when the pipe to
its parent closes, however the parent died. It tells its build and the model's checksum in
its model list, so that a recording can say by what it was made.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from hashlib import file_digest
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType

import httpx

from toprope.teacher.openai import Endpoint
from toprope.teacher.protocol import TeacherError

_POLL_S = 0.2
_PROGRAM = ("-m", "toprope.teacher.llama_process")


class ServerError(TeacherError):
    """The model's server did not start."""


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """How the server runs. One thread a server is fastest where other work shares the cores."""

    threads: int = 2
    slots: int = 4
    context_per_slot: int = 1536
    port: int = 0
    start_s: float = 120.0


@dataclass(frozen=True, slots=True)
class About:
    """What an endpoint tells of itself; empty where it does not.

    `id` is what it wants to be called in a question, `model` the same for people.
    """

    model: str
    server: str
    gguf_sha256: str
    parameters: int | None
    id: str = ""


class TeacherServer:
    """A running server, as a context manager; `url` is where it listens."""

    def __init__(
        self,
        model: Path,
        settings: ServerSettings | None = None,
        *,
        program: tuple[str, ...] = _PROGRAM,
    ) -> None:
        if program == _PROGRAM and find_spec("xllamacpp") is None:
            raise ServerError(
                "a local GGUF teacher needs xllamacpp; "
                "install it with: pip install 'toprope[teacher]'"
            )
        check_gguf(model)
        self.model = model.resolve()
        self.settings = settings or ServerSettings()
        self.gguf_sha256 = gguf_sha256(self.model)
        self.url = ""
        self._program = program
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> TeacherServer:
        settings = {
            "model": str(self.model),
            "threads": self.settings.threads,
            "slots": self.settings.slots,
            "context": self.settings.context_per_slot * self.settings.slots,
            "port": self.settings.port,
            "gguf_sha256": self.gguf_sha256,
        }
        self._process = subprocess.Popen(
            [sys.executable, *self._program, json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the user; the pipe tells the server
        )
        try:
            self.url = self._wait_until_healthy()
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
        """Return the server's exit status when it ends by itself."""
        assert self._process is not None
        return self._process.wait()

    def close(self) -> None:
        """End the server. Safe to call twice."""
        if self._process is None:
            return
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _wait_until_healthy(self) -> str:
        process = self._process
        assert process is not None
        assert process.stdout is not None
        line = process.stdout.readline().decode().strip()
        if not line.startswith("http"):
            raise ServerError(f"{self.model.name}: the server ended at once; is the GGUF whole?")
        until = time.monotonic() + self.settings.start_s
        while time.monotonic() < until:
            if process.poll() is not None:
                raise ServerError(
                    f"{self.model.name}: the server ended with status {process.returncode} "
                    "while it loaded; is the GGUF whole, and is there memory for it?"
                )
            try:
                if httpx.get(f"{line}/health", timeout=5).status_code == 200:
                    return line
            except httpx.HTTPError:
                pass  # not listening yet
            time.sleep(_POLL_S)
        raise ServerError(
            f"{self.model.name}: the server was not healthy within {self.settings.start_s:g} s; "
            "give it longer, or fewer slots"
        )


def check_gguf(path: Path) -> None:
    """Raise `ServerError` unless `path` is a GGUF file."""
    if not path.is_file():
        raise ServerError(f"no model at {path}; fetch one with `toprope models fetch`")
    with path.open("rb") as file:
        if file.read(4) != b"GGUF":
            raise ServerError(f"{path} is not a GGUF file; the server reads nothing else")


def gguf_sha256(path: Path) -> str:
    """Return the SHA-256 of a model file."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def about(endpoint: Endpoint) -> About:
    """Return what an endpoint tells of its model; our own servers tell build and checksum."""
    told = endpoint.about()
    tags = told.get("tags")
    pairs = [str(tag).partition("=") for tag in tags] if isinstance(tags, list) else []
    known = {name: value for name, _, value in pairs}
    meta = told.get("meta")
    size = meta.get("n_params") if isinstance(meta, dict) else None
    name = str(told.get("id", ""))
    return About(
        id=name,
        model=Path(name).name.removesuffix(".gguf") if name.endswith(".gguf") else name,
        server=str(known.get("server", "")),
        gguf_sha256=str(known.get("sha256", "")),
        parameters=size if isinstance(size, int) and size > 0 else None,
    )

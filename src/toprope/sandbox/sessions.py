"""A session in a worker of its own: each request is one frame there and one back."""

from __future__ import annotations

import contextlib
import threading
from typing import Any

from toprope.sandbox.pool import Pool
from toprope.sandbox.protocol import (
    NotAFile,
    Result,
    SandboxError,
    SessionEnded,
    Start,
    TooMuchChanged,
)
from toprope.sandbox.zygote import wire
from toprope.sandbox.zygote.files import as_bytes

_FILES_S = 30.0  # as long as the worker waits for its room


class WorkerSession:
    """Holds one slot of the pool until it is closed or lost; see `Session`."""

    def __init__(self, pool: Pool, start: Start) -> None:
        self.start = start
        self._pool = pool
        self._lock = threading.Lock()
        self._over = ""
        self._slot, self._worker = pool.take(start.environment)
        with self._lost_on_failure():
            self._worker.open(start)

    def run(self, command: str, seconds: float) -> Result:
        """Run a command line in the workspace."""
        return self._command({"do": "run", "command": command}, b"", seconds)

    def python(self, program: str, stdin: bytes, seconds: float) -> Result:
        """Run a program of ours in a fork of the warm interpreter."""
        return self._command({"do": "python", "program": program}, stdin, seconds)

    def read(self, path: str) -> str:
        """The text of a file."""
        _, said = self._ask({"do": "read", "path": path})
        return _text(said[1])

    def write(self, path: str, text: str) -> None:
        """Make this the whole text of a file."""
        content = as_bytes(text)
        if len(content) > self.start.limits.disk_mb << 20:
            raise NotAFile(f"{path} would be larger than {self.start.limits.disk_mb} MB")
        self._ask({"do": "write", "path": path}, content)

    def changed(self) -> dict[str, str | None]:
        """The files that differ from the start, None for those that are gone."""
        _, said = self._ask({"do": "changed"})
        header, contents = wire.unpack(said[1])
        found: dict[str, str | None] = dict.fromkeys(header["gone"])
        found.update(zip(header["paths"], map(_text, contents), strict=True))
        return dict(sorted(found.items()))

    def close(self) -> None:
        """End the session; its worker goes back to the pool."""
        with self._lock:
            if self._over:
                return
            with contextlib.suppress(SandboxError), self._lost_on_failure():
                self._worker.ask({"do": "close"}, [], 0.0, self._doing())
                self._over = "it was closed"
                self._pool.give(self._slot, self._worker)

    def __enter__(self) -> WorkerSession:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _command(self, request: dict[str, Any], stdin: bytes, seconds: float) -> Result:
        answer, said = self._ask({**request, "seconds": seconds}, stdin, seconds)
        return Result(stdout=said[0], result=said[1], **answer)

    def _ask(
        self, request: dict[str, Any], blob: bytes = b"", seconds: float = _FILES_S
    ) -> tuple[dict[str, Any], list[bytes]]:
        with self._lock:
            if self._over:
                raise SessionEnded(self._over)
            with self._lost_on_failure():
                answer, said = self._worker.ask(request, [blob], seconds, self._doing())
        if "ended" in answer:
            raise SessionEnded(answer["ended"])
        if "refused" in answer:
            raise NotAFile(answer["refused"])
        if "too_much" in answer:
            raise TooMuchChanged(answer["too_much"])
        return answer, said

    def _doing(self) -> str:
        return f"served session {self.start.id}"

    @contextlib.contextmanager
    def _lost_on_failure(self) -> Any:
        """After any failure the worker is of no use: what it says next belongs to nothing."""
        try:
            yield
        except BaseException as error:
            self._over = f"its worker was lost ({error})"
            self._worker.kill()
            self._pool.give(self._slot, None)
            raise


def _text(content: bytes) -> str:
    return content.decode("utf-8", "surrogateescape")

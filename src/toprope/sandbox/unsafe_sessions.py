"""A session without walls: a temporary folder, and a plain process for each command.

Only time and output are bounded.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict

from toprope.sandbox.protocol import NotAFile, Result, SessionEnded, Start, TooMuchChanged
from toprope.sandbox.unsafe_commands import Commands
from toprope.sandbox.unsafe_process import start, start_program
from toprope.sandbox.worker import variables
from toprope.sandbox.zygote import changes, commands, files
from toprope.terms import Environment


class LocalSession:
    """Lives in a folder of its own until it is closed; see `Session`."""

    def __init__(self, begun: Start, environment: Environment, release: Callable[[], None]) -> None:
        self.start = begun
        self._environment = environment
        self._release = release
        self._lock = threading.Lock()
        self._commands = Commands(begun.limits)
        self._closed = False
        self._folder = tempfile.mkdtemp()
        work = os.path.join(self._folder, "work")
        os.mkdir(work)
        self._root = os.open(work, os.O_RDONLY | os.O_DIRECTORY)
        try:
            self._before = self._furnish()
        except BaseException:
            self.close()
            raise

    def run(self, command: str, seconds: float) -> Result:
        """Run a command line in the workspace."""
        shell = next(path for path in commands.SHELLS if os.path.exists(path))
        line: list[str | bytes] = [shell, "-c", files.as_bytes(command)]
        ours = {"PATH": os.defpath, **commands.variables(dict(variables(self._environment)))}
        with self._alive():
            return self._commands.follow(
                lambda pipes: start(line, os.devnull, self._folder, ours, pipes), seconds
            )

    def python(self, program: str, stdin: bytes, seconds: float) -> Result:
        """Run a program of ours in a fresh interpreter."""
        spec = {"files": {}, "limits": asdict(self.start.limits), "program": program}
        with self._alive():
            return self._commands.follow(
                lambda pipes: start_program(spec, stdin, self._folder, self._environment, pipes),
                seconds,
            )

    def read(self, path: str) -> str:
        """The text of a file."""
        with self._alive():
            return _text(files.read(self._root, path, self.start.limits.output_bytes))

    def write(self, path: str, text: str) -> None:
        """Make this the whole text of a file."""
        with self._alive():
            files.write(self._root, path, files.as_bytes(text))

    def changed(self) -> dict[str, str | None]:
        """The files that differ from the start, None for those that are gone."""
        with self._alive():
            found = sorted(changes.since(self._root, self._before).items())
        return {path: None if content is None else _text(content) for path, content in found}

    def close(self) -> None:
        """Kill every group that was started and remove the folder."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._commands.close()
            os.close(self._root)
            shutil.rmtree(self._folder, ignore_errors=True)
            self._release()

    def __enter__(self) -> LocalSession:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _furnish(self) -> dict[str, bytes]:
        shared = dict(self.start.tree.files) if self.start.tree else {}
        kept = {path: text for path, text in shared.items() if path not in self.start.removed}
        for path, text in {**kept, **self.start.files}.items():
            files.write(self._root, path, files.as_bytes(text))
        return changes.digests(self._root)

    @contextmanager
    def _alive(self) -> Iterator[None]:
        with self._lock:
            if self._closed:
                raise SessionEnded("it was closed")
            try:
                yield
            except files.Refused as refusal:
                raise NotAFile(str(refusal)) from refusal
            except changes.TooMuch as excess:
                raise TooMuchChanged(str(excess)) from excess


def _text(content: bytes) -> str:
    return content.decode("utf-8", "surrogateescape")

"""A worker whose outer wall is a container: one container per worker, gone with it.

The worker in it is the one that runs elsewhere, behind the same inner wall. It speaks through
a unix socket in a folder that the container is shown, so that no engine stands in between.
"""

from __future__ import annotations

import contextlib
import os
import socket
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path

from toprope.sandbox import engines
from toprope.sandbox.containers import Container, interpreter
from toprope.sandbox.protocol import SandboxError
from toprope.terms import Environment

_START_S = 120.0  # some storage drivers copy the whole image for each container
_LOOK_S = 0.05
_SHOWN, _INSIDE = "shown", "/toprope"  # the same folder, here and in the container
_SOCKET = "control"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_ZYGOTE = Path(__file__).resolve().parent / "zygote"
# What engines add to the variables is taken away before anything is imported.
_BOOT = """
import os, socket, sys
for name in set(os.environ).difference({names!r}):
    del os.environ[name]
sys.path.append({inside!r})
from zygote.main import main
sys.path.pop()
control = socket.socket(socket.AF_UNIX)
control.connect({inside!r} + "/control")
main(control.detach(), os.getppid(), {slot}, {outfit!r})
"""


def start(
    slot: int, environment: Environment, given: Mapping[str, str]
) -> tuple[socket.socket, Container]:
    """Start a worker in a container of the environment's image; `given` are jobs' variables.

    Returns the socket to it and its process. Raises `NoContainer` where the image cannot run
    here, `SandboxError` where it did not start although it should.
    """
    image = engines.find(environment)
    python = environment.python or interpreter(image)
    inherited = {"PATH": _PATH, **dict(image.variables)}
    path = f"{os.path.dirname(python)}:{inherited['PATH']}"
    variables = {**inherited, **given, "PATH": path, **dict(environment.variables)}
    outfit = asdict(replace(environment, python=python))
    boot = _BOOT.format(inside=_INSIDE, names=sorted(variables), slot=slot, outfit=outfit)
    with (
        tempfile.TemporaryDirectory(prefix="toprope-") as folder,
        _listener(_program_in(folder)) as listener,
    ):
        shown = ["--mount", f"type=bind,source={folder}/{_SHOWN},target={_INSIDE},readonly"]
        for name, value in variables.items():
            shown += ["--env", f"{name}={value}"]
        container = Container(image, python, boot, folder, shown=shown)
        try:
            return _accept(listener, container), container
        except BaseException:
            container.kill()
            if container.stderr:
                container.stderr.close()
            raise


def _program_in(folder: str) -> str:
    """Put the worker's program in a folder below this one, for any user to read, and return it.

    A copy: the program's own files may be closed to the container's user. Others of this
    machine cannot pass `folder`.
    """
    shown = Path(folder, _SHOWN)
    inner = shown / _ZYGOTE.name
    inner.mkdir(parents=True)
    for file in _ZYGOTE.glob("*.py"):
        copy = inner / file.name
        copy.write_bytes(file.read_bytes())
        copy.chmod(0o644)
    for place in (shown, inner):
        place.chmod(0o755)
    return str(shown)


@contextlib.contextmanager
def _listener(folder: str) -> Iterator[socket.socket]:
    """A listening socket in the folder, whose own path may be longer than a socket's can be."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(f"/proc/self/fd/{handle}/{_SOCKET}")
            os.chmod(f"{folder}/{_SOCKET}", 0o666)
            listener.listen(1)
            listener.settimeout(_LOOK_S)
            yield listener
    finally:
        os.close(handle)


def _accept(listener: socket.socket, container: Container) -> socket.socket:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        with contextlib.suppress(TimeoutError):
            sock, _ = listener.accept()
            sock.setblocking(True)
            return sock
        if container.poll() is not None:
            _, said = container.communicate()
            container.refuse_python()
            last = engines.last_line(said) or f"it ended with {container.returncode}"
            raise SandboxError(f"the container of a sandbox worker did not start: {last}")
    raise SandboxError(f"the container of a sandbox worker did not start in {_START_S:g} s")

"""Containers that run one Python program each, and are gone with it.

Knows how they are started and ended. It must not know what a worker is.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import tempfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from toprope.sandbox import container_walls, engines
from toprope.sandbox.engines import Image, NoContainer

_ASK_S = 300.0
_END_S = 10.0
_FLAGS = ("-s", "-B")
_UNUSABLE = (126, 127)  # what engines end with where a program is none, or is not there
_USUAL = ("python3", "python")
# Also understood by a Python that is too old.
_WHO = 'import sys; sys.stdout.write("%s\\n%d %d" % ((sys.executable,) + sys.version_info[:2]))'


class Container(subprocess.Popen[bytes]):
    """The engine's client of one running container, which lives as long as that.

    `shown` are further options of the engine. The container has its image's root, read-only,
    and neither network nor rights (`container_walls`). What is in `folder`, an empty one at
    first, is of no use any more once the program runs.
    """

    def __init__(
        self,
        image: Image,
        python: str,
        program: str,
        folder: str,
        arguments: Sequence[str] = (),
        shown: Sequence[str] = (),
        stdout: int = subprocess.DEVNULL,
    ) -> None:
        self.image, self.python = image, python
        self.name = f"toprope-{os.getpid()}-{secrets.token_hex(6)}"
        profile = Path(folder, "seccomp.json")
        profile.write_text(container_walls.filter_text(), encoding="ascii")
        command = [
            *(image.engine, "run", *container_walls.options(self.name, str(profile)), *shown),
            *("--entrypoint", python, image.name, *_FLAGS, "-c", program, *arguments),
        ]
        super().__init__(
            command,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for us alone: we end our containers
        )

    def kill(self) -> None:
        """End the container with all in it, and remove it; its client ends with it."""
        if self.poll() is not None:
            return
        self._remove()
        try:
            self.wait(_END_S)
        except subprocess.TimeoutExpired:  # a client that was still making the container
            super().kill()
            self.wait()
            self._remove()

    def refuse_python(self) -> None:
        """Raise `NoContainer` if the container, which has ended, found no such interpreter."""
        if self.returncode in _UNUSABLE:
            fix = "Name a Python 3.9 or newer in it with `python`."
            raise NoContainer(self.image.name, f"it has no {self.python} that starts", fix)

    def _remove(self) -> None:
        engines.call(self.image.engine, "rm", "--force", self.name)


@lru_cache(maxsize=32)
def interpreter(image: Image) -> str:
    """The path of an image's Python; raises `NoContainer` if there is none of 3.9 or newer."""
    faults = []
    for name in _USUAL:
        try:
            path, _, version = ask(image, name, _WHO).partition("\n")
        except NoContainer as fault:
            faults.append(fault)
            continue
        if tuple(map(int, version.split())) >= (3, 9):
            return path
        why = f"its {name} is Python {version.replace(' ', '.')}, and 3.9 or newer is needed"
        faults.append(NoContainer(image.name, why, "Name another one in it with `python`."))
    raise faults[0]


def ask(image: Image, python: str, program: str, *arguments: str) -> str:
    """What a program prints in a container of its own; raises `NoContainer` if it fails."""
    with tempfile.TemporaryDirectory(prefix="toprope-") as folder:
        pipe = subprocess.PIPE
        container = Container(image, python, program, folder, arguments, stdout=pipe)
        try:
            said, complaint = container.communicate(timeout=_ASK_S)
        except subprocess.TimeoutExpired:
            raise NoContainer(image.name, f"no answer in {_ASK_S:g} s", "Try again.") from None
        finally:
            container.kill()
    container.refuse_python()
    if container.returncode:
        last = engines.last_line(complaint) or f"it ended with {container.returncode}"
        again = f"{image.engine} run --rm --entrypoint {python} {image.name} -V"
        raise NoContainer(image.name, last, f"See what `{again}` says.")
    return said.decode("utf-8", "replace")

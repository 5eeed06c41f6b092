"""Opening the Landlock level in a test, whoever runs the tests and wherever Python lies."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from toprope.sandbox import worker
from toprope.sandbox.landlock import LandlockSandbox
from toprope.terms import Environment

ORDINARY = 54321  # a user that owns nothing


def open_to_all(path: str) -> bool:
    """Whether a user that owns nothing can read this path."""
    places = [Path(os.path.realpath(path)), *Path(os.path.realpath(path)).parents]
    return all(place.stat().st_mode & 0o005 >= (0o001 if place != places[0] else 0o004)
               for place in places)  # fmt: skip


def python_for_all() -> str:
    """An interpreter that every user can start; skips the test where there is none."""
    if os.geteuid() != 0 or open_to_all(worker.PYTHON):
        return worker.PYTHON
    found = shutil.which("python3", path="/usr/local/bin:/usr/bin")
    new = "import sys; sys.exit(sys.version_info < (3, 11))"
    if not found or subprocess.run([found, "-c", new], check=False).returncode:
        pytest.skip("this Python is root's own, and there is no other of 3.11 or newer")
    return os.path.realpath(found)


@contextlib.contextmanager
def landlock(
    workers: int = 1,
    environments: Mapping[str, Environment] | None = None,
    most_abi: int = 0,
) -> Iterator[LandlockSandbox]:
    """A sandbox of the Landlock level, whose bare interpreter every user can start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worker, "PYTHON", python_for_all())
        with LandlockSandbox(workers, environments, most_abi=most_abi) as sandbox:
            yield sandbox

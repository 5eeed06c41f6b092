"""An image made of this machine's own Python, for tests of containers: no registry is asked.

It holds the interpreter, its standard library, pytest, a shell and a few commands, and the
libraries that these need.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Iterator
from importlib.metadata import files
from pathlib import Path

import pytest

from toprope.sandbox import engines
from toprope.terms import Environment

PYTHON = os.path.realpath(getattr(sys, "_base_executable", "") or sys.executable)
STDLIB = Path(sysconfig.get_path("stdlib"))
PACKAGES = f"{STDLIB}/for-the-test"  # put on the path by the image's own PYTHONPATH
_COMMANDS = ("/bin/sh", "/bin/ls", "/bin/cat", "/usr/bin/id")
_SKIPPED = {
    "test", "tests", "idlelib", "ensurepip", "lib2to3", "tkinter", "turtledemo", "__pycache__",
    "site-packages", "dist-packages",
}  # fmt: skip
_UNUSED = ("config-", "_tkinter", "_test")  # static libraries, windows, tests of the interpreter
_EMPTY = ("tmp", "proc", "sys", "dev", "etc", "run", "var/tmp")


def working_image() -> Iterator[engines.Image]:
    """The image in an engine that starts containers here; else the test is skipped, and why."""
    reasons = []
    for engine in engines.look():
        name = f"localhost/toprope-test:{os.getpid()}"
        fault = engine.fault or import_image(engine.name, name, {})
        if not fault:
            plain = ("run", "--rm", "--network", "none", name, PYTHON, "-c", "pass")
            code, _, fault = engines.call(engine.name, *plain)
            try:
                if code == 0:
                    yield engines.find(Environment(image=name, engine=engine.name))
                    return
            finally:
                engines.call(engine.name, "rmi", name)
        reasons.append(f"{engine.name}: {fault}")
    pytest.skip(f"no engine starts a container here ({'; '.join(reasons) or 'none installed'})")


def import_image(engine: str, name: str, scripts: dict[str, str], whole: bool = True) -> str:
    """Make the image; returns "" or why the engine would not. `scripts` are further programs."""
    command = [engine, "import", "--change", f"ENV PYTHONPATH={PACKAGES}"]
    command += ["--change", "ENV OWN=image", "-", name]
    done = subprocess.run(command, input=_root(scripts, whole), capture_output=True, check=False)
    return done.stderr.decode().strip() if done.returncode else ""


def _root(scripts: dict[str, str], whole: bool) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as tar:
        for name in _EMPTY:
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, 0o1777
            tar.addfile(folder)
        for path, text in scripts.items():
            entry = tarfile.TarInfo(path.lstrip("/"))
            entry.mode, entry.size = 0o755, len(text)
            tar.addfile(entry, io.BytesIO(text.encode()))
        programs = [*_COMMANDS, *([PYTHON] if whole else [])]
        natives = [path for path in _standard() if path.suffix == ".so"] if whole else []
        for path in sorted({*programs, *_libraries([*programs, *map(str, natives)])}):
            tar.add(os.path.realpath(path), path)
        for path, place in _modules() if whole else ():
            tar.add(path, place)
        if whole and PYTHON != "/usr/bin/python3":
            link = tarfile.TarInfo("usr/bin/python3")
            link.type, link.linkname = tarfile.SYMTYPE, PYTHON
            tar.addfile(link)
    return target.getvalue()


def _libraries(programs: list[str]) -> set[str]:
    """The shared libraries of these programs, as the loader finds them."""
    done = subprocess.run(["ldd", *programs], capture_output=True, text=True, check=False)
    words = [word for line in done.stdout.splitlines() for word in line.split()]
    return {word for word in words if word.startswith("/") and not word.endswith(":")}


def _standard() -> Iterator[Path]:
    for path in STDLIB.rglob("*"):
        parts = path.relative_to(STDLIB).parts
        unused = _SKIPPED & set(parts) or any(part.startswith(_UNUSED) for part in parts)
        if path.is_file() and not unused:
            yield path


def _modules() -> Iterator[tuple[str, str]]:
    for path in _standard():
        yield str(path), str(path)
    for package in ("pytest", "pluggy", "iniconfig", "packaging", "pygments"):
        for file in files(package) or ():
            if file.parts[0] != ".." and "__pycache__" not in file.parts:
                yield str(file.locate()), f"{PACKAGES}/{file}"

"""Finds out what a repository needs around it: interpreter, plug-ins, import folders.

Asks the interpreter that was named; installs nothing unless a set-up command was given.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toprope.forge.repository.source import Repository
from toprope.terms import Environment, Suite, TopropeError

# Also asks which modules pytest would import for every run, plug-ins included: a warm worker
# has them already.
_ASK = """
import importlib, importlib.metadata, json, sys, sysconfig
try:
    import pytest
    found = pytest.__version__
except ImportError:
    found = None
warm = ["pytest"] if found else []
def parts():
    import _pytest.config
    yield from ("_pytest." + name for name in _pytest.config.default_plugins)
    for package in importlib.metadata.distributions():
        for point in package.entry_points:
            if point.group == "pytest11":
                yield point.value.partition(":")[0]
for name in dict.fromkeys(parts()) if found else ():
    try:
        importlib.import_module(name)
        warm.append(name)
    except Exception:
        pass
packages = sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})
print(json.dumps({"version": list(sys.version_info[:3]), "pytest": found, "warm": warm,
                  "packages": packages}))
"""


class NoEnvironment(TopropeError):
    """The repository's environment cannot be used; the message says what to do."""


@dataclass(frozen=True)
class Surroundings:
    """An environment, and how the repository's tests run in it."""

    environment: Environment
    imports: tuple[str, ...]
    version: str
    pytest: str

    def suite(self, name: str, timeout_s: float, args: tuple[str, ...]) -> Suite:
        """The suite of all the repository's tests."""
        return Suite({}, (), self.imports, name, timeout_s, args)


def find_surroundings(repository: Repository, python: str, setup: str, cache: Path) -> Surroundings:
    """Return the surroundings of `repository` with the interpreter `python`.

    Without one: the `.venv` that the command `setup` makes in a copy of the repository, or
    the one that lies in the repository.
    """
    if setup:
        python = str(_set_up(repository, setup, cache))
    if not python:
        python = str(_own(repository))
    told = _ask(python)
    if told["pytest"] is None:
        raise NoEnvironment(
            f"{python} has no pytest, so the tests cannot run; `{python} -m pip install pytest`"
        )
    imports = _imports(repository)
    hidden = tuple(_installed(repository, imports, told["packages"]))
    environment = Environment(python=python, hidden=hidden, warm=tuple(told["warm"]), tools=True)
    version = ".".join(map(str, told["version"]))
    return Surroundings(environment, imports, version, told["pytest"])


def _own(repository: Repository) -> Path:
    for name in (".venv", "venv"):
        python = repository.folder / name / "bin" / "python"
        if python.exists():
            return python
    raise NoEnvironment(
        f"which interpreter runs the tests of {repository.name}? Give --python PATH of one that "
        "has its dependencies and pytest installed, or --setup 'python -m venv .venv && "
        ".venv/bin/pip install . pytest'"
    )


def _ask(python: str) -> dict[str, Any]:
    try:
        done = subprocess.run([python, "-c", _ASK], capture_output=True, text=True, check=False)
        told: dict[str, Any] = json.loads(done.stdout)
    except (OSError, ValueError) as fault:
        raise NoEnvironment(
            f"{python} did not answer as a Python 3.9 or newer does ({fault}); check --python"
        ) from None
    if tuple(told["version"]) < (3, 9):
        raise NoEnvironment(f"{python} is older than Python 3.9, which the sandbox needs")
    return told


def _set_up(repository: Repository, command: str, cache: Path) -> Path:
    """Run the user's own command in a copy of the repository; its `.venv` is the environment."""
    copy = cache / "environments" / f"{repository.name}-{repository.tree.hash[:12]}"
    python = copy / ".venv" / "bin" / "python"
    done = copy / ".set-up"
    if done.exists() and done.read_text() == command:
        return python
    shutil.rmtree(copy, ignore_errors=True)
    for path, text in repository.tree.files.items():
        (copy / path).parent.mkdir(parents=True, exist_ok=True)
        (copy / path).write_bytes(text.encode("utf-8", "surrogateescape"))
    ran = subprocess.run(command, shell=True, cwd=copy, capture_output=True, text=True, check=False)
    if ran.returncode != 0 or not python.exists():
        said = (ran.stderr or ran.stdout).strip()[-600:]
        raise NoEnvironment(
            f"--setup ended with {ran.returncode} in {copy} and "
            f"{'made' if python.exists() else 'did not make'} .venv/bin/python there:\n{said}"
        )
    done.write_text(command)
    return python


def _imports(repository: Repository) -> tuple[str, ...]:
    """Folders that imports start from: `src` or `lib` if packages lie there, then the top."""
    folders = {path.split("/")[0] for path in repository.tree.files if path.endswith(".py")}
    return (*(name for name in ("src", "lib") if name in folders), "")


def _installed(repository: Repository, imports: tuple[str, ...], places: list[str]) -> list[str]:
    """Where the repository's own packages lie installed: there the solutions could be read."""
    names = set()
    for folder in imports:
        for path in repository.tree.files:
            inner = path.removeprefix(f"{folder}/") if folder else path
            if path.endswith(".py") and (not folder or inner != path):
                names.add(inner.split("/")[0])
    found = [Path(place) / name for place in places for name in sorted(names)]
    return [str(path) for path in found if path.exists()]

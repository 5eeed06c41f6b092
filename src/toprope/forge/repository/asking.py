"""Asks an interpreter what it has: pytest, plug-ins, the repository's own installed copy.

On this machine or in a container image. It must not know what becomes of the answer.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass

from toprope.sandbox import engines
from toprope.sandbox.containers import ask, interpreter
from toprope.terms import Environment, TopropeError

# Also asks which modules pytest would import for every run, plug-ins included: a warm worker
# has them already.
_ASK = """
import importlib, importlib.metadata, json, os, sys, sysconfig
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
    except Exception:  # whatever a plug-in raises: it is not kept warm, pytest tells of it later
        pass
places = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
places.update(path for path in sys.path if path.endswith(("/site-packages", "/dist-packages")))
copies = [os.path.join(place, name) for place in sorted(places) for name in sys.argv[1:]]
print(json.dumps({"version": list(sys.version_info[:3]), "pytest": found, "warm": warm,
                  "copies": [path for path in copies if os.path.exists(path)]}))
"""


class NoEnvironment(TopropeError):
    """The repository's environment cannot be used; the message says what to do."""


@dataclass(frozen=True)
class Interpreter:
    """What an interpreter answered; `copies` is where the packages asked for lie installed."""

    python: str
    version: str
    pytest: str
    warm: tuple[str, ...]
    copies: tuple[str, ...]


def ask_here(python: str, names: Iterable[str]) -> Interpreter:
    """What an interpreter of this machine has; raises `NoEnvironment` if it cannot be used."""
    command = [python, "-c", _ASK, *names]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as fault:
        raise NoEnvironment(f"{python} cannot be started ({fault}); check --python") from None
    return _read(done.stdout, python, python)


def ask_image(image: str, python: str, names: Iterable[str]) -> Interpreter:
    """What an image's interpreter has ("": the usual one); raises also `NoContainer`."""
    found = engines.find(Environment(image=image))
    chosen = python or interpreter(found)
    return _read(ask(found, chosen, _ASK, *names), chosen, f"{chosen} in {image}")


def _read(said: str, python: str, called: str) -> Interpreter:
    try:
        told = json.loads(said)
    except ValueError as fault:
        raise NoEnvironment(
            f"{called} did not answer as a Python 3.9 or newer does ({fault}); check --python"
        ) from None
    if tuple(told["version"]) < (3, 9):
        raise NoEnvironment(f"{called} is older than Python 3.9, which the sandbox needs")
    if told["pytest"] is None:
        raise NoEnvironment(
            f"{called} has no pytest, so the tests cannot run; `{python} -m pip install pytest`"
        )
    version = ".".join(map(str, told["version"]))
    return Interpreter(python, version, told["pytest"], tuple(told["warm"]), tuple(told["copies"]))

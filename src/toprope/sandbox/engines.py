"""Podman and Docker as this machine has them: which answers, and which has an image.

Asks their command lines. It must not know what runs in a container, nor how it is shut in.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import lru_cache

from toprope.sandbox.protocol import SandboxUnavailable
from toprope.terms import Environment, TopropeError

ENGINES = ("podman", "docker")  # podman first: it needs no daemon, and no right like root's
_VERSION = {"podman": "{{.Client.Version}}", "docker": "{{.Server.Version}}"}
_ANSWER_S = 30.0
# Nothing that begins like an option: a name comes from a file that others may have written.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@-]*")
_UNKNOWN = ("no such image", "image not known", "no such object")


class NoContainer(SandboxUnavailable):
    """An image cannot run here; `missing` says why, `fix` what to do."""

    def __init__(self, image: str, why: str, fix: str) -> None:
        end = "" if why.endswith((".", "?")) else "."
        TopropeError.__init__(self, f"the image {image!r} cannot run here: {why}{end} {fix}")
        self.missing = (why,)
        self.fix = fix


@dataclass(frozen=True, slots=True)
class Engine:
    """An engine whose command is installed; `fault` says why it cannot be used, if it cannot."""

    name: str
    version: str
    fault: str


@dataclass(frozen=True, slots=True)
class Image:
    """An image that is here; `variables` are those that it brings itself."""

    name: str
    engine: str
    variables: tuple[tuple[str, str], ...]


def look() -> tuple[Engine, ...]:
    """The engines that are installed here, and whether they answer."""
    return tuple(_look(name) for name in ENGINES if shutil.which(name))


def find(environment: Environment) -> Image:
    """The image of an environment and the engine that has it; raises `NoContainer`."""
    return _find(environment.image, environment.engine)


def lacking(environment: Environment) -> str:
    """Why an environment's image cannot run here; "" if it can, or if there is no image."""
    try:
        if environment.image:
            find(environment)
    except NoContainer as fault:
        return f"image {environment.image}: {fault.missing[0]}"
    return ""


def call(engine: str, *arguments: str, seconds: float = _ANSWER_S) -> tuple[int, str, str]:
    """Run an engine's command; returns its exit code, its output, and the last line of its error.

    An engine that cannot be started or takes longer counts as one that answers 125, its own
    code for what it could not do.
    """
    command = [engine, *arguments]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        return 125, "", f"no answer in {seconds:g} s"
    except OSError as error:
        return 125, "", str(error)
    return done.returncode, done.stdout.decode("utf-8", "replace"), last_line(done.stderr)


def last_line(said: bytes) -> str:
    """The last line of what a program said, where tracebacks and engines say what is wrong."""
    return said.decode("utf-8", "replace").strip().rpartition("\n")[2].strip()


def _look(name: str) -> Engine:
    code, said, fault = call(name, "version", "--format", _VERSION[name])
    return Engine(name, said.strip(), "" if code == 0 else fault or f"it ended with {code}")


@lru_cache(maxsize=32)
def _find(image: str, wanted: str) -> Image:
    if not _NAME.fullmatch(image):
        raise NoContainer(image, "that is no name of an image", "Mend `image`.")
    if wanted and wanted not in ENGINES:
        fix = f"Mend `engine`: {' or '.join(ENGINES)}, or none for whichever is here."
        raise NoContainer(image, f"the engine {wanted!r} is not known", fix)
    asked = [wanted] if wanted else list(ENGINES)
    here = [engine for engine in asked if shutil.which(engine)]
    if not here:
        missing = f"{wanted} is not" if wanted else "neither podman nor docker is"
        fix = f"Install it (for example `sudo apt install {asked[0]}`), then fetch the image."
        raise NoContainer(image, f"{missing} installed", fix)
    faults: dict[str, str] = {}
    for engine in here:
        code, said, fault = call(engine, "image", "inspect", "--format", "{{json .Config}}", image)
        if code == 0:
            return Image(image, engine, _variables(said))
        faults[engine] = fault
    raise _absent(image, faults)


def _absent(image: str, faults: dict[str, str]) -> NoContainer:
    for engine, fault in faults.items():
        if any(words in fault.lower() for words in _UNKNOWN):
            fix = f"Fetch it with `{engine} pull {image}`, or build it; toprope never does."
            return NoContainer(image, f"{engine} does not have it", fix)
    why = "; ".join(f"{engine} does not answer: {fault}" for engine, fault in faults.items())
    fix = "Start its daemon (`sudo systemctl start docker`), or allow your user to reach it."
    return NoContainer(image, why, fix if "docker" in faults else "Mend the engine, then try again")


def _variables(said: str) -> tuple[tuple[str, str], ...]:
    given = (json.loads(said) or {}).get("Env") or []
    pairs = (entry.partition("=") for entry in given)
    return tuple((name, value) for name, _, value in pairs)

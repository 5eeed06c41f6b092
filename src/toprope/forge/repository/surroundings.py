"""Finds out what a repository needs around it: interpreter, plug-ins, import folders.

Asks the interpreter that was named (`asking`); installs nothing unless a set-up command was given.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from toprope.forge.repository.asking import NoEnvironment, ask_here, ask_image
from toprope.forge.repository.setting_up import set_up
from toprope.forge.repository.source import Repository
from toprope.terms import Environment, Suite


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


def find_surroundings(
    repository: Repository, cache: Path, python: str = "", setup: str = "", image: str = ""
) -> Surroundings:
    """Return the surroundings of `repository` with the interpreter `python`.

    Without one: the `.venv` that the command `setup` makes in a copy of the repository, or
    the one that lies in the repository. With a container `image`, the one in it.
    """
    if image and setup:
        raise NoEnvironment(
            "--setup works in a copy on this machine, and --image brings what is needed: build "
            "into the image what the command does, and leave --setup out"
        )
    imports = _imports(repository)
    names = _top_names(repository, imports)
    if image:
        found = ask_image(image, python, names)
    elif setup:
        found = ask_here(str(set_up(repository, setup, cache)), names)
    else:
        found = ask_here(python or str(_own(repository)), names)
    environment = Environment(
        python=found.python, hidden=found.copies, warm=found.warm, tools=True, image=image
    )
    return Surroundings(environment, imports, found.version, found.pytest)


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


def _imports(repository: Repository) -> tuple[str, ...]:
    """Folders that imports start from: `src` or `lib` if packages lie there, then the top."""
    folders = {path.split("/")[0] for path in repository.tree.files if path.endswith(".py")}
    return (*(name for name in ("src", "lib") if name in folders), "")


def _top_names(repository: Repository, imports: tuple[str, ...]) -> list[str]:
    """What the repository's own packages are called where they lie installed.

    There the solutions could be read.
    """
    names = set()
    for folder in imports:
        for path in repository.tree.files:
            inner = path.removeprefix(f"{folder}/") if folder else path
            if path.endswith(".py") and (not folder or inner != path):
                names.add(inner.split("/")[0])
    return sorted(names)

"""Opens a repository to be mended: its files, its interpreter, the command that shows a failure.

It runs nothing of the repository but a set-up command that the user gave.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from toprope.forge.repository.addopts import selecting
from toprope.forge.repository.generated import with_generated
from toprope.forge.repository.secrets import refuse_secrets
from toprope.forge.repository.source import Repository, SourceError, open_repository
from toprope.forge.repository.surroundings import find_surroundings
from toprope.tasks import save_environments
from toprope.terms import Environment, Suite


@dataclass(frozen=True)
class Bench:
    """A repository, the suite of all its tests, and where they run.

    `generated` files were taken in though git ignores them: nobody may change these. `shown`
    is a command that runs the suite in the sandbox, for the user to repeat.
    """

    repository: Repository
    suite: Suite
    environments: Mapping[str, Environment]
    generated: tuple[str, ...]
    shown: str


def open_bench(
    folder: Path,
    cache: Path,
    python: str = "",
    setup: str = "",
    suite_timeout_s: float = 600.0,
    tests: tuple[str, ...] = (),
) -> Bench:
    """Return the repository in `folder` with its environment, which is written to `cache`.

    The suite is what pytest finds, or what it finds in the paths `tests`.

    Raises a `TopropeError` where the folder is none, or no interpreter for it is found.
    """
    if not folder.is_dir():
        raise SourceError(f"{folder} is no folder; give the checkout whose test fails")
    repository = open_repository(str(folder), "", cache)
    surroundings = find_surroundings(repository, cache, python, setup)
    repository, generated = with_generated(
        repository, surroundings.imports, surroundings.environment.hidden
    )
    environments = {repository.name: surroundings.environment}
    file = cache / "solve" / repository.name / "environment.toml"
    save_environments(environments, file)
    args = selecting(repository.tree.files)
    words = shlex.join([*args, *tests])
    shown = (
        f"toprope sandbox run --dir {shlex.quote(str(folder))} --environment {file} --name "
        f"{repository.name} -- python -m pytest -o addopts= {words}"
    )
    suite = replace(surroundings.suite(repository.name, suite_timeout_s, args), paths=tests)
    return Bench(repository, suite, environments, generated, shown.rstrip())


def may_leave(bench: Bench, allowed: Collection[str]) -> None:
    """Raise `SecretFound` if a file of the repository looks as if it held a secret."""
    refuse_secrets(bench.repository.tree.files, allowed)

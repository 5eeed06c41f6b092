"""Takes in what a build wrote and git ignores, where code imports it: the file of the version.

Without it not one module of such a repository could be imported from its sources. It is
looked for in the checkout, then in the installed copy; nothing else is taken from either.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from toprope.forge.repository.source import Repository
from toprope.tasks import make_tree

_NAMES = ("_version.py", "version.py", "__version__.py", "_version_info.py")
_LONGEST = 20_000  # bytes; what is longer says more than a version


def with_generated(
    repository: Repository, imports: Sequence[str], copies: Sequence[str]
) -> tuple[Repository, tuple[str, ...]]:
    """Return the repository with the files that were taken in, and their paths.

    `imports` are the folders that imports start from, `copies` the installed packages.
    """
    files = repository.tree.files
    found: dict[str, str] = {}
    for path, place in _candidates(repository, imports, copies):
        known = path in files or path in found
        if not known and place.is_file() and place.stat().st_size <= _LONGEST:
            found[path] = place.read_text("utf-8", "surrogateescape")
    if not found:
        return repository, ()
    return replace(repository, tree=make_tree({**files, **found})), tuple(found)


def _candidates(
    repository: Repository, imports: Sequence[str], copies: Sequence[str]
) -> Iterator[tuple[str, Path]]:
    """Paths in the repository, each with a place on this machine that may hold the file."""
    packages = [path for path in repository.tree.files if path.endswith("/__init__.py")]
    for package in (path.removesuffix("/__init__.py") for path in packages):
        for name in _NAMES:
            yield f"{package}/{name}", repository.folder / package / name
    for copy in map(Path, copies):
        for start in imports:
            inside = f"{start}/{copy.name}" if start else copy.name
            if f"{inside}/__init__.py" in repository.tree.files:
                yield from ((f"{inside}/{name}", copy / name) for name in _NAMES)

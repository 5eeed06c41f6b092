"""One proven bug of a repository as a task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from toprope.forge.repository.cutting import without
from toprope.forge.repository.places import SETTING_UP, is_code, is_test
from toprope.forge.repository.sites import Candidate
from toprope.forge.repository.source import Repository
from toprope.forge.repository.telling import tell
from toprope.forge.repository.trial import Noticed
from toprope.grading.pytest_ids import path_of
from toprope.terms import Focus, Source, Split, Suite, Task, Tree

# What decides how tests are run is none of an attempt's business.
_NAMES = ("conftest.py", "test_*.py", "*_test.py", "tests/*", "test/*", *SETTING_UP)
UNTOUCHABLE = tuple(glob for name in _NAMES for glob in (f"!{name}", f"!*/{name}"))


def make_task(repository: Repository, bugs: Sequence[Candidate], noticed: Noticed) -> Task:
    """Return the task of one or more bugs, each in a function of its own."""
    tree = repository.tree
    broken = broken_files(repository, bugs)
    cut, gone = without(tree.files, noticed.fail_to_pass)
    site = bugs[0].site
    operator = "+".join(bug.edit.operator for bug in bugs)
    return Task(
        id=f"{repository.name}/" + "+".join(bug.key for bug in bugs),
        split=Split.TRAIN,
        tier=None,
        statement=tell(noticed.test, noticed.text, len(noticed.fail_to_pass)),
        files={**broken, **cut},
        focus=Focus(site.path, site.first, site.last),
        editable=(*editable(tree), *UNTOUCHABLE, *_oddly_named(noticed)),
        entry="",
        calls=(),
        fail_to_pass=noticed.fail_to_pass,
        pass_to_pass=noticed.pass_to_pass,
        solution={path: tree.files[path] for path in broken},
        source=Source(
            repository.name,
            repository.version,
            site.path,
            site.first,
            repository.licence,
            site.name,
            operator,
        ),
        features=_features(repository, bugs, noticed),
        suite=_suite(noticed, repository),
        tree=tree,
        removed=tuple(gone),
    )


def broken_files(repository: Repository, bugs: Sequence[Candidate]) -> dict[str, str]:
    """The files with these bugs in them; two bugs may share a file, never a function."""
    broken: dict[str, str] = {}
    # From the end, so that the lines of an earlier function stay where they are.
    for bug in sorted(bugs, key=lambda bug: -bug.site.first):
        path = bug.site.path
        broken[path] = bug.mutated(broken.get(path, repository.tree.files[path]))
    return broken


def editable(tree: Tree) -> tuple[str, ...]:
    """The folders and top-level modules that hold code, as globs."""
    paths = [path for path in tree.files if is_code(path)]
    folders = sorted({f"{path.split('/')[0]}/*.py" for path in paths if "/" in path})
    return (*folders, *sorted(path for path in paths if "/" not in path))


def _oddly_named(noticed: Noticed) -> list[str]:
    """Globs that take out test files whose names do not look like tests'."""
    tests = (*noticed.fail_to_pass, *noticed.pass_to_pass)
    return sorted({f"!{path_of(name)}" for name in tests if not is_test(path_of(name))})


def _suite(noticed: Noticed, repository: Repository) -> Suite:
    """The suite with the whole test files that the failing tests come from."""
    paths = dict.fromkeys(name.partition("::")[0] for name in noticed.fail_to_pass)
    return replace(noticed.suite, files={path: repository.tree.files[path] for path in paths})


def _features(repository: Repository, bugs: Sequence[Candidate],
              noticed: Noticed) -> dict[str, float | int | str]:  # fmt: skip
    site = bugs[0].site
    return {
        "bugs": len(bugs),
        "function_lines": site.last - site.first + 1,
        "file_lines": repository.tree.files[site.path].count("\n"),
        "repository_files": len(repository.tree.files),
        "failing": len(noticed.fail_to_pass),
        "callers": len(site.tests),
        "statement_characters": len(noticed.text),
    }

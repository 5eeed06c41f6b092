"""One commit as a task: its code taken back, its tests as the grader, its message as statement."""

from __future__ import annotations

import ast
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import PurePosixPath

from toprope.forge.repository.bugs import UNTOUCHABLE, editable
from toprope.forge.repository.history import Commit
from toprope.forge.repository.secrets import SecretFound, refuse_secrets
from toprope.forge.repository.source import Repository
from toprope.forge.repository.telling import tell
from toprope.grading import SuiteRun, run_suite
from toprope.sandbox.protocol import Sandbox
from toprope.tasks import make_tree
from toprope.terms import Focus, Source, Split, Suite, Task

_SHORT = 20  # characters of a message that says nothing


def revert(commit: Commit, before: Mapping[str, str], after: Mapping[str, str],
           repository: Repository, suite: Suite, sandbox: Sandbox,
           allowed: Collection[str] = ()) -> Task | str:  # fmt: skip
    """Return the task, or a word for why the commit gives none.

    `before` and `after` are all files at the commit's parent and at the commit; `allowed`
    paths may look as if they held secrets.
    """
    try:
        refuse_secrets(after, allowed)
    except SecretFound:
        return "holds what looks like secrets"
    tree = make_tree(after)
    files = {path: before[path] for path, kind in (commit.code | commit.tests).items()
             if kind == "M"}  # fmt: skip
    removed = tuple(p for p, kind in (commit.code | commit.tests).items() if kind == "A")
    grader = replace(
        suite, files={path: after[path] for path in commit.graders}, paths=commit.graders
    )
    fixed = run_suite(sandbox, commit.id, grader, {}, tree=tree)
    if fixed.fault or not fixed.outcomes:
        return fixed.fault or "tests did not run"
    broken = run_suite(sandbox, commit.id, grader, files, tree=tree, removed=removed, texts=True)
    if broken.fault:
        return broken.fault
    passing = [name for name, outcome in fixed.outcomes.items() if outcome == "passed"]
    if not passing:
        return "tests do not pass with it here"
    red = tuple(name for name in passing if broken.outcomes.get(name) != "passed")
    if not red:
        return "tests pass without it"
    focus = _focus(commit, files, after)
    return Task(
        id=f"{repository.name}@{commit.id[:12]}",
        split=Split.TRAIN,
        tier=None,
        statement=_statement(commit, red, broken),
        files=files,
        focus=focus,
        editable=(*editable(tree), *UNTOUCHABLE),
        entry="",
        calls=(),
        fail_to_pass=red,
        pass_to_pass=tuple(name for name in passing if name not in red),
        solution={path: after[path] for path in commit.code},
        source=Source(
            repository.name, commit.id, focus.path, focus.first, repository.licence,
            _owner(files[focus.path], focus), "commit",
        ),
        features=_features(commit, files, after, red),
        suite=grader,
        tree=tree,
        removed=removed,
    )  # fmt: skip


def _statement(commit: Commit, red: tuple[str, ...], broken: SuiteRun) -> str:
    """What the commit says; what a failing test says too, since messages are often short."""
    texts = {name: broken.texts[name] for name in red if broken.texts.get(name)}
    paths = {path: broken.texts[path] for path in commit.graders if broken.texts.get(path)}
    found = texts or paths
    said = ""
    if found:
        name = min(found, key=lambda key: (len(found[key]), key))
        said = tell(name, found[name], len(red))
    message = commit.message if len(commit.message) >= _SHORT or not said else ""
    return "\n\n".join(part for part in (message, said) if part)


def _focus(commit: Commit, files: Mapping[str, str], after: Mapping[str, str]) -> Focus:
    """The function that the first changed line lies in, or the lines around it."""
    path = next(path for path, kind in commit.code.items() if kind == "M")
    old, new = files[path].split("\n"), after[path].split("\n")
    same = zip(old, new, strict=False)
    at = next((n for n, (a, b) in enumerate(same) if a != b), min(len(old), len(new)) - 1) + 1
    for node in _functions(files[path]):
        if node.lineno <= at <= (node.end_lineno or node.lineno):
            return Focus(path, node.lineno, node.end_lineno or node.lineno)
    return Focus(path, max(1, at - 20), min(len(old), at + 20))


def _functions(text: str) -> list[ast.FunctionDef]:
    try:
        found = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.FunctionDef)]
    except (SyntaxError, ValueError):
        return []
    return sorted(found, key=lambda node: (node.end_lineno or 0) - node.lineno)


def _owner(text: str, focus: Focus) -> str:
    names = [node.name for node in _functions(text) if node.lineno == focus.first]
    return names[0] if names else PurePosixPath(focus.path).stem


def _features(commit: Commit, files: Mapping[str, str], after: Mapping[str, str],
              red: tuple[str, ...]) -> dict[str, float | int | str]:  # fmt: skip
    changed = sum(
        len(set(after[path].split("\n")) ^ set(files.get(path, "").split("\n")))
        for path in commit.code
    )
    return {"date": commit.date, "files": len(commit.code), "lines": changed, "failing": len(red)}

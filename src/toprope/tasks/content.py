"""What a taskset's hash is over: the tasks' content, however files are shared between them.

A task of calls counts as its whole row. Of a task with tests each text counts as its own
SHA-256, so that a repository shared by thousands of tasks is read once. It must not know
where tasks are kept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import replace

from toprope.tasks.rowfile import json_line
from toprope.tasks.rows import Row, to_row
from toprope.tasks.trees import flattened
from toprope.terms import Task, Tree


def content_hash(tasks: Iterable[Task]) -> str:
    """Return the SHA-256 of the tasks' canonical lines, in order; equal in every form."""
    digest, known = hashlib.sha256(), _Digests()
    for task in tasks:
        row = _of_suite(task, known) if task.suite else to_row(flattened(task))
        digest.update(json_line(row))
    return digest.hexdigest()


def _of_suite(task: Task, known: _Digests) -> Row:
    """The row of `task` with digests for texts, and no word of a tree."""
    assert task.suite
    start = dict(known.of_tree(task.tree)) if task.tree else {}
    for path in task.removed:
        start.pop(path, None)
    # The texts go first: what is left is short, and no other form of it is known.
    suite = replace(task.suite, files=known.of(task.suite.files))
    bare = replace(task, files={}, tree=None, removed=(), solution={}, suite=suite)
    return {
        **to_row(bare),
        "files": start | known.of(task.files),
        "solution": known.of(task.solution),
    }


class _Digests:
    """The digests of texts, those of trees worked out once."""

    def __init__(self) -> None:
        self._trees: dict[str, dict[str, str]] = {}

    def of_tree(self, tree: Tree) -> Mapping[str, str]:
        if tree.hash not in self._trees:
            self._trees[tree.hash] = self.of(tree.files)
        return self._trees[tree.hash]

    def of(self, files: Mapping[str, str]) -> dict[str, str]:
        return {path: _digest(text) for path, text in files.items()}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

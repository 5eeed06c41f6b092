"""Trees: the files that many tasks share, kept once in a taskset and named by their content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

from toprope.terms import Task, Tree


def make_tree(files: Mapping[str, str]) -> Tree:
    """Return the tree of `files`; equal files give equal hashes in every process."""
    ordered = dict(sorted(files.items()))
    text = json.dumps(ordered, separators=(",", ":"))
    return Tree(hashlib.sha256(text.encode("ascii")).hexdigest(), ordered)


def packed(files: Mapping[str, str], tree: Tree | None) -> dict[str, str | None]:
    """Return `files` with None for each text that is the tree's own: it is not kept twice."""
    shared = tree.files if tree else {}
    return {path: None if shared.get(path) == text else text for path, text in files.items()}


def unpacked(files: Mapping[str, str | None] | Sequence[str], tree: Tree | None) -> dict[str, str]:
    """The inverse of `packed`; a plain list of paths means the tree's own texts.

    Raises ValueError for a path that stands for the tree's text and is not in it.
    """
    shared = tree.files if tree else {}
    given = dict(files) if isinstance(files, Mapping) else dict.fromkeys(files)
    missing = sorted(path for path, text in given.items() if text is None and path not in shared)
    if missing:
        raise ValueError(f"{missing} have no text here, and the tree has no such files")
    return {str(p): shared[p] if text is None else str(text) for p, text in given.items()}


def flattened(task: Task) -> Task:
    """Return `task` with its whole starting state in `files`: what forms without trees keep."""
    return replace(task, files=task.start(), tree=None, removed=())

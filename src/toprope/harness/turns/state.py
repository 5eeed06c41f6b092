"""The files of an attempt between two turns, and packed small enough to keep every turn's.

A changed file is packed as the lines that differ from the task's start. Knows no session.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from toprope.grading.verdict import is_editable, real_changes
from toprope.terms import Task

Packed = Mapping[str, Any]


def packed(task: Task, files: Mapping[str, str]) -> dict[str, Any]:
    """Return what differs from the task's start: [first, last, lines], a new text, or None: gone.

    JSON values; `unpacked` returns the same files again.
    """
    start = task.start()
    found: dict[str, Any] = {
        path: _span(start[path], text) if path in start else text
        for path, text in files.items()
        if start.get(path) != text
    }
    found.update(dict.fromkeys(start.keys() - files.keys()))
    return dict(sorted(found.items()))


def unpacked(task: Task, changes: Packed) -> dict[str, str]:
    """Return all files of a state that was packed."""
    files = task.start()
    for path, change in changes.items():
        if change is None:
            files.pop(path, None)
        elif isinstance(change, str):
            files[path] = change
        else:
            first, last, lines = change
            old = files[path].split("\n")
            files[path] = "\n".join([*old[:first], *lines, *old[last:]])
    return files


def handed_in(task: Task, files: Mapping[str, str]) -> dict[str, str]:
    """Return the editable files that differ from the start: what is graded."""
    changed = real_changes(task, files)
    return {path: text for path, text in changed.items() if is_editable(path, task)}


def _span(before: str, after: str) -> list[Any]:
    """The lines `first` to `last` (excluded) of the old text, and what is in their place."""
    old, new = before.split("\n"), after.split("\n")
    shorter = min(len(old), len(new))
    head = next((at for at in range(shorter) if old[at] != new[at]), shorter)
    room = shorter - head
    tail = next((at for at in range(room) if old[-1 - at] != new[-1 - at]), room)
    return [head, len(old) - tail, new[head : len(new) - tail]]

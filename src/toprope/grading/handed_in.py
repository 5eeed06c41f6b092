"""Which files of a folder are an attempt at a task: a checkout holds more than that.

The tests that a task is graded by are cut out of its starting state, so a checkout that has
them whole differs from it and is no cheat. It must not know where the files were read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from toprope.grading.verdict import is_editable, real_changes
from toprope.terms import Task, TopropeError


class NoAttempt(TopropeError):
    """None of the files that were given is one of the task's."""


@dataclass(frozen=True, slots=True)
class HandedIn:
    """What an attempt is graded by, and the paths that do not count.

    `changes` holds changed editable files, and protected ones that are like no version that
    the task has of them: grading calls those a hack.
    """

    changes: Mapping[str, str]
    apart: tuple[str, ...]


def handed_in(task: Task, found: Mapping[str, str]) -> HandedIn:
    """Return what of the files `found` (path to text) is an attempt at the task.

    Raises:
        NoAttempt: no file of the task is among them, nor one that an attempt may add.
    """
    known = _known(task)
    if not any(path in known or is_editable(path, task) for path in found):
        example = task.focus.path
        raise NoAttempt(
            f"none of the {len(found)} files there is one of the task's, like {example}: give the "
            f"folder in which {example} lies (of a task made with --root, that part)"
        )
    changes, apart = {}, list[str]()
    for path, text in real_changes(task, found).items():
        if is_editable(path, task):
            changes[path] = text
        elif text in known.get(path, ()):
            continue
        elif is_protected(path, task):
            changes[path] = text
        else:
            apart.append(path)
    return HandedIn(changes, tuple(apart))


def is_protected(path: str, task: Task) -> bool:
    """Tell whether a change of the file at `path` is an attack on the grading.

    Those are the files that `editable` takes out by "!" and the tests' own; where `editable`
    takes nothing out, every file that the task has and that may not be changed.
    """
    if is_editable(path, task):
        return False
    taken_out = [glob[1:] for glob in task.editable if glob.startswith("!")]
    if any(fnmatchcase(path, glob) for glob in taken_out):
        return True
    if task.suite and (path in task.suite.files or path in task.suite.paths):
        return True
    return not taken_out and path in task.start()


def _known(task: Task) -> dict[str, set[str]]:
    """Every text that the task has of a path: at the start, whole, and as the tests bring it."""
    known: dict[str, set[str]] = {}
    hidden = task.suite.files if task.suite else {}
    shared = task.tree.files if task.tree else {}
    for files in (task.start(), shared, hidden):
        for path, text in files.items():
            known.setdefault(path, set()).add(text)
    return known

"""Tasksets: named, ordered, hashed collections of tasks, kept as JSON lines.

Knows which lines a taskset has. It must not know how tasks are made or graded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from pathlib import Path

from toprope.tasks.content import content_hash
from toprope.tasks.rowfile import json_line, read_rows, write_lines
from toprope.tasks.rows import Row, from_row, to_row
from toprope.tasks.soundness import TaskFormatError
from toprope.tasks.trees import make_tree
from toprope.terms import Split, Task, Tier, TopropeError, Tree

DEFAULT = "default"
DATA = Path(str(resources.files("toprope"))) / "data"


class TasksetNotFound(TopropeError):
    """No taskset at the path or of the name that was given."""


@dataclass(frozen=True)
class Taskset:
    """A taskset; `hash` is that of its tasks' content, whatever the form (see `content`)."""

    name: str
    tasks: tuple[Task, ...]
    hash: str

    def known_as(self, digest: str) -> bool:
        """Whether this is the taskset that a run or a person calls by `digest`.

        Runs of before the hash was that of the content hold the one of the packed lines.
        """
        return digest in (self.hash, self._of_lines)

    @cached_property
    def _of_lines(self) -> str:
        digest = hashlib.sha256()
        for line in canonical_lines(self.tasks):
            digest.update(line)
        return digest.hexdigest()

    def split(self, split: Split) -> tuple[Task, ...]:
        """Return the tasks of one split, in order; impossible ones belong to none."""
        return tuple(t for t in self.tasks if t.split is split and not t.impossible)

    @property
    def ordinary(self) -> tuple[Task, ...]:
        """The tasks that can be solved, in order."""
        return tuple(task for task in self.tasks if not task.impossible)

    @property
    def impossible(self) -> tuple[Task, ...]:
        """The tasks that nobody can solve: a pass of one is an alarm."""
        return tuple(task for task in self.tasks if task.impossible)

    def chosen(self, split: Split | None, tier: Tier | None) -> tuple[Task, ...]:
        """Return the tasks of a split and a tier; with neither, all, impossible ones too."""
        if split is None and tier is None:
            return self.tasks
        return tuple(
            t for t in self.ordinary if split in (None, t.split) and tier in (None, t.tier)
        )

    def by_id(self, task_id: str) -> Task:
        """Return the task called `task_id`; raises `TasksetNotFound` if there is none."""
        try:
            return self._index[task_id]
        except KeyError:
            raise TasksetNotFound(
                f"taskset {self.name!r} has no task {task_id!r}; `toprope tasks list` names them"
            ) from None

    @cached_property
    def _index(self) -> dict[str, Task]:
        return {task.id: task for task in self.tasks}


def canonical_lines(tasks: Iterable[Task]) -> Iterator[bytes]:
    """Yield each task's row as canonical JSON: sorted keys, no spaces, one line each.

    A tree has a line of its own, above the first task that names it.
    """
    told: set[str] = set()
    for task in tasks:
        if task.tree and task.tree.hash not in told:
            told.add(task.tree.hash)
            yield json_line({"tree": task.tree.hash, "files": dict(task.tree.files)})
        yield json_line(to_row(task))


def make_taskset(tasks: Iterable[Task], name: str) -> Taskset:
    """Return the taskset of `tasks` in this order; two tasks with one id are refused."""
    ordered = tuple(tasks)
    seen: set[str] = set()
    for task in ordered:
        if task.id in seen:
            raise TaskFormatError(f"{name}: two tasks are called {task.id!r}; make ids unique")
        seen.add(task.id)
    return Taskset(name=name, tasks=ordered, hash=content_hash(ordered))


def load_taskset(path_or_name: str | Path) -> Taskset:
    """Read a taskset from a `.jsonl` or `.jsonl.xz` file, or the shipped one by name."""
    path = locate(path_or_name)
    return from_rows(read_rows(path), path)


def from_rows(rows: Iterable[tuple[str, Row]], path: Path) -> Taskset:
    """Return the taskset of packed rows, each with where it stands; `path` names it."""
    tasks = []
    trees: dict[str, Tree] = {}
    for where, row in rows:
        if "instance_id" not in row and "tree" in row:
            tree = _read_tree(row, where)
            trees[tree.hash] = tree
        else:
            tasks.append(from_row(row, where, trees))
    if not tasks:
        raise TaskFormatError(f"{path}: the taskset is empty; it needs at least one task")
    return make_taskset(tasks, path.name.split(".")[0])


def save_taskset(tasks: Iterable[Task], path: Path, name: str) -> Taskset:
    """Write `tasks` to `path` (compressed if it ends in `.xz`) and return the taskset."""
    taskset = make_taskset(tasks, name)
    write_lines(canonical_lines(taskset.tasks), path)
    return taskset


def locate(path_or_name: str | Path) -> Path:
    """Return the path of a taskset's file; raises `TasksetNotFound`."""
    path = Path(path_or_name)
    if str(path_or_name) == DEFAULT and not path.exists():
        path = DATA / f"{DEFAULT}.jsonl.xz"
    if not path.is_file():
        raise TasksetNotFound(
            f"no taskset at {str(path_or_name)!r}; give the path of a .jsonl or .jsonl.xz file, "
            f"or {DEFAULT!r} for the one that is shipped"
        )
    return path


def _read_tree(row: Row, where: str) -> Tree:
    files = row.get("files")
    if not isinstance(files, dict) or not all(isinstance(text, str) for text in files.values()):
        raise TaskFormatError(f"{where}: files: a tree needs an object of path to text")
    tree = make_tree(files)
    if tree.hash != row["tree"]:
        raise TaskFormatError(
            f"{where}: tree: these files have the hash {tree.hash[:12]}, not "
            f"{str(row['tree'])[:12]}; the file was changed by hand or cut"
        )
    return tree

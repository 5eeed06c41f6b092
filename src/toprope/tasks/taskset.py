"""Tasksets: named, ordered, hashed collections of tasks, kept as JSON lines.

Reads and writes `.jsonl` and `.jsonl.xz`. It must not know how tasks are made or graded.
"""

from __future__ import annotations

import hashlib
import json
import lzma
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from pathlib import Path

from toprope.tasks.rows import Row, from_row, to_row
from toprope.tasks.soundness import TaskFormatError
from toprope.tasks.trees import make_tree
from toprope.terms import Split, Task, TopropeError, Tree

DEFAULT = "default"
DATA = Path(str(resources.files("toprope"))) / "data"


class TasksetNotFound(TopropeError):
    """No taskset at the path or of the name that was given."""


@dataclass(frozen=True)
class Taskset:
    """A taskset; `hash` is the SHA-256 of its canonical JSON lines, whatever the file form."""

    name: str
    tasks: tuple[Task, ...]
    hash: str

    def split(self, split: Split) -> tuple[Task, ...]:
        """Return the tasks of one split, in order."""
        return tuple(task for task in self.tasks if task.split is split)

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
            yield _line({"tree": task.tree.hash, "files": dict(task.tree.files)})
        yield _line(to_row(task))


def _line(row: Row) -> bytes:
    text = json.dumps(row, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    if not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
        text = json.dumps(row, sort_keys=True, separators=(",", ":"))  # bytes that are no text
    return text.encode() + b"\n"


def make_taskset(tasks: Iterable[Task], name: str) -> Taskset:
    """Return the taskset of `tasks` in this order; two tasks with one id are refused."""
    ordered = tuple(tasks)
    seen: set[str] = set()
    for task in ordered:
        if task.id in seen:
            raise TaskFormatError(f"{name}: two tasks are called {task.id!r}; make ids unique")
        seen.add(task.id)
    digest = hashlib.sha256()
    for line in canonical_lines(ordered):
        digest.update(line)
    return Taskset(name=name, tasks=ordered, hash=digest.hexdigest())


def load_taskset(path_or_name: str | Path) -> Taskset:
    """Read a taskset from a `.jsonl` or `.jsonl.xz` file, or the shipped one by name."""
    path = _locate(path_or_name)
    tasks = []
    trees: dict[str, Tree] = {}
    for number, line in enumerate(_read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{path} line {number}"
        row = _parse_line(line, where)
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
    data = b"".join(canonical_lines(taskset.tasks))
    if path.suffix == ".xz":
        data = lzma.compress(data, preset=9 | lzma.PRESET_EXTREME)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(data)
    partial.replace(path)
    return taskset


def _locate(path_or_name: str | Path) -> Path:
    path = Path(path_or_name)
    if str(path_or_name) == DEFAULT and not path.exists():
        path = DATA / f"{DEFAULT}.jsonl.xz"
    if not path.is_file():
        raise TasksetNotFound(
            f"no taskset at {str(path_or_name)!r}; give the path of a .jsonl or .jsonl.xz file, "
            f"or {DEFAULT!r} for the one that is shipped"
        )
    return path


def _read_text(path: Path) -> str:
    raw = path.read_bytes()
    try:
        return (lzma.decompress(raw) if path.suffix == ".xz" else raw).decode()
    except (lzma.LZMAError, EOFError, UnicodeDecodeError) as fault:
        raise TaskFormatError(f"{path}: cannot be read ({fault}); is the file whole?") from None


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


def _parse_line(line: str, where: str) -> Row:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as fault:
        raise TaskFormatError(f"{where}: not valid JSON ({fault.msg}); one row a line") from None
    if not isinstance(row, dict):
        raise TaskFormatError(f"{where}: a row must be a JSON object, got {type(row).__name__}")
    return row

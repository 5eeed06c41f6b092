"""Sets of tasks in any form that is known: read whatever is there, written as asked.

Chooses the form. It must not know what a form looks like inside (see `harbor_*`, `swebench`,
`taskset`).
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from toprope.tasks.foreign import Foreign
from toprope.tasks.harbor_read import CONFIG, read_harbor
from toprope.tasks.harbor_write import folder_name, write_harbor
from toprope.tasks.rowfile import json_line, read_rows, write_lines
from toprope.tasks.soundness import TaskFormatError
from toprope.tasks.swebench import from_swebench, is_swebench, to_swebench
from toprope.tasks.taskset import (
    Taskset,
    TasksetNotFound,
    from_rows,
    locate,
    make_taskset,
    save_taskset,
)
from toprope.terms import Task, TopropeError


class Form(StrEnum):
    """How a set of tasks is written."""

    PACKED = "packed"
    HARBOR = "harbor"
    SWEBENCH = "swebench"


class TargetInTheWay(TopropeError):
    """What is there already would be lost."""


@dataclass(frozen=True)
class Loaded:
    """What a path held: the tasks that run here, and those that need a container."""

    taskset: Taskset
    foreign: tuple[Foreign, ...] = ()

    @property
    def tasks(self) -> tuple[Task, ...]:
        """The tasks that run here, in order."""
        return self.taskset.tasks


def load_any(path_or_name: str | Path, smith: bool = False) -> Loaded:
    """Read a packed file, rows of SWE-bench's kind, a Harbor folder or a folder of such.

    `smith` says that rows are SWE-smith's, whose patch brings the bug in. Raises
    `TasksetNotFound` or `TaskFormatError`.
    """
    path = Path(path_or_name)
    if path.is_dir():
        return _sorted_out([read_harbor(folder) for folder in _harbor_folders(path)], path)
    path = locate(path_or_name)
    first = next(read_rows(path), None)
    if first is None or not is_swebench(first[1]):
        return Loaded(from_rows(read_rows(path), path))
    return _sorted_out([from_swebench(row, at, smith) for at, row in read_rows(path)], path)


def save_as(
    tasks: Sequence[Task], path: Path, form: Form, *, runner: str = "", force: bool = False
) -> None:
    """Write `tasks` to `path`, a file or for Harbor a folder with one folder a task.

    `runner` is the program text of calls, which Harbor folders hold. Raises `TargetInTheWay`
    if there is something that `force` does not say to replace.
    """
    if form is not Form.HARBOR and not path.name.endswith((".jsonl", ".jsonl.xz")):
        raise TaskFormatError(f"{path}: name a file that ends in .jsonl or .jsonl.xz")
    _make_way(path, form, force)
    if form is Form.HARBOR:
        _save_folders(tasks, path, runner)
    elif form is Form.SWEBENCH:
        write_lines((json_line(to_swebench(task)) for task in tasks), path)
    else:
        save_taskset(tasks, path, path.name.split(".")[0])


def _sorted_out(found: Iterable[Task | Foreign], path: Path) -> Loaded:
    tasks: list[Task] = []
    foreign: list[Foreign] = []
    for one in found:
        if isinstance(one, Task):
            tasks.append(one)
        else:
            foreign.append(one)
    return Loaded(make_taskset(tasks, path.resolve().name.split(".")[0]), tuple(foreign))


def _harbor_folders(path: Path) -> list[Path]:
    """The folder itself, those in it, or those in its `tasks`: where there is a task.toml."""
    if (path / CONFIG).is_file():
        return [path]
    for pattern in (f"*/{CONFIG}", f"tasks/*/{CONFIG}"):
        found = sorted(config.parent for config in path.glob(pattern))
        if found:
            return found
    raise TasksetNotFound(
        f"no taskset in {str(path)!r}; a folder of tasks has a {CONFIG} in it, or folders with one"
    )


def _make_way(path: Path, form: Form, force: bool) -> None:
    if path.is_dir() != (form is Form.HARBOR) and path.exists():
        kind = "folder" if path.is_dir() else "file"
        raise TargetInTheWay(f"{path} is a {kind}, which {form} is not; name another target")
    taken = any(path.iterdir()) if path.is_dir() else path.is_file() and path.stat().st_size > 0
    if taken and not force:
        raise TargetInTheWay(f"{path} is not empty; name another target, or give --force")
    if taken and path.is_dir():
        others = sorted(set(path.iterdir()) - set(_tasks_in(path)))
        if others:
            raise TargetInTheWay(
                f"{path} holds {others[0].name!r}, which is no task; nothing but folders of "
                "tasks is replaced, so name another target"
            )


def _tasks_in(path: Path) -> Iterator[Path]:
    return (entry for entry in path.iterdir() if (entry / CONFIG).is_file())


def _save_folders(tasks: Sequence[Task], path: Path, runner: str) -> None:
    path = path.resolve()
    partial = path.with_name(path.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for place, task in enumerate(tasks, start=1):
        write_harbor(task, partial / folder_name(task, place), runner)
    if path.exists():
        shutil.rmtree(path)
    partial.replace(path)

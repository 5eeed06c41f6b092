"""One task as a native Harbor task folder: runs under plain Harbor, read back without loss.

Knows the folder's layout and what goes where. It must not know other forms, nor run anything.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from toprope.tasks.folders import as_bytes, write_files
from toprope.tasks.harbor_read import CONFIG, FIX, HIDDEN, REPO
from toprope.tasks.harbor_scripts import SOLVE, dockerfile, seconds, verifier_files
from toprope.tasks.own import own_fields
from toprope.tasks.toml_text import toml_table
from toprope.terms import Task

_SCRIPTS = ("tests/test.sh", "solution/solve.sh")
_AGENT_S = 900.0
_GRACE_S = 60.0  # the container's start; the tests' own limit ends them first


def write_harbor(task: Task, folder: Path, runner: str) -> None:
    """Write `task` below `folder`, which should be new.

    `runner` is the text of the program that makes calls (`grading/runner.py`). Raises
    `TaskFormatError` for a file that would not lie below the folder or not come back.
    """
    if task.calls and not runner:
        raise ValueError("tasks of calls need the text of the runner")
    where = f"task {task.id}"
    programs = {
        "environment/Dockerfile": dockerfile(task),
        **_below("tests", verifier_files(task, runner)),
        "solution/solve.sh": SOLVE,
    }
    write_files(folder, {**programs, **_instruction(task)}, where)
    for part, files in _parts(task).items():
        write_files(folder / part, files, where)
    write_files(folder, {CONFIG: task_toml(task)}, where)
    for script in _SCRIPTS:
        (folder / script).chmod(0o755)


def folder_name(task: Task, place: int) -> str:
    """Return the folder's name in a set; names sort as the tasks are ordered."""
    return f"{place:05d}-{_slug(task.id)}"


def task_toml(task: Task) -> str:
    """Return the text of `task.toml`; ours is below `[metadata.toprope]`."""
    shut = {"network_mode": "no-network"}
    tests_s = seconds(task) + _GRACE_S
    digest = hashlib.sha256(task.id.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    tables: dict[str, Mapping[str, Any]] = {
        "": {"schema_version": "1.4", "artifacts": _artifacts(task)},
        "task": {"name": f"toprope/{_slug(task.id)}-{digest}"},
        "metadata.toprope": _own(task),
        "agent": {"timeout_sec": _AGENT_S},
        "verifier": {"timeout_sec": tests_s, "environment_mode": "separate", **shut},
        "environment": {"workdir": "/work", "build_timeout_sec": 600.0, **shut},
    }
    return "\n".join(toml_table(name, fields) for name, fields in tables.items())


def _own(task: Task) -> dict[str, Any]:
    own = {
        "id": task.id,
        "runtime": "python",
        "fail_to_pass": list(task.fail_to_pass),
        "pass_to_pass": list(task.pass_to_pass),
        **own_fields(task),
    }
    if as_bytes(task.statement) is None:
        own["statement"] = task.statement
    return own


def _artifacts(task: Task) -> list[str]:
    """What Harbor carries into the verifier's own container: only what may be changed."""
    if any(_is_pattern(glob) for glob in task.editable):
        return ["/work"]
    return [f"/work/{path}" for path in dict.fromkeys(task.editable)]


def _is_pattern(glob: str) -> bool:
    odd = any(letter in glob for letter in "*?[") or ".." in glob.split("/")
    return odd or not glob.isascii()


def _instruction(task: Task) -> dict[str, str]:
    text = task.statement
    if as_bytes(text) is None:
        text = text.encode("utf-8", "replace").decode()
    return {"instruction.md": text}


def _parts(task: Task) -> dict[str, Mapping[str, str]]:
    hidden = task.suite.files if task.suite else {}
    return {REPO: task.start(), HIDDEN: hidden, FIX: task.solution}


def _below(folder: str, files: Mapping[str, str]) -> dict[str, str]:
    return {f"{folder}/{path}": text for path, text in files.items()}


def _slug(name: str) -> str:
    """The letters of `name` that every file system and Harbor's own names allow."""
    plain = re.sub(r"\.\.+", ".", re.sub(r"[^A-Za-z0-9._-]+", "-", name))
    return plain.strip("-._")[:60] or "task"

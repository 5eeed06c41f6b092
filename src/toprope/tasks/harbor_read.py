"""Harbor task folders read: ours as tasks, other people's as far as they can be.

Knows the folder's layout. It must not know how a folder is written, nor run anything.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from toprope.tasks.folders import as_text, read_files
from toprope.tasks.foreign import Foreign
from toprope.tasks.own import own_row
from toprope.tasks.rows import from_row
from toprope.tasks.soundness import TaskFormatError
from toprope.tasks.toml_text import plain_fields
from toprope.terms import Task

REPO, HIDDEN, FIX = "environment/repo", "tests/files", "solution/files"
CONFIG = "task.toml"
_LARGEST = 1_000_000  # bytes of another maker's file that is still read


def read_harbor(folder: Path) -> Task | Foreign:
    """Return the task in `folder`; a `Foreign` if it has no `[metadata.toprope]`.

    Raises `TaskFormatError` for a folder that is not a task, or one of ours that is not sound.
    """
    path = folder / CONFIG
    try:
        config = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as fault:
        raise TaskFormatError(f"{path}: cannot be read ({fault}); correct it") from None
    metadata = _table(config, "metadata", path)
    if "toprope" not in metadata:
        return _foreign(folder, config)
    return _ours(folder, _table(metadata, "toprope", path), path)


def _ours(folder: Path, table: Mapping[str, Any], path: Path) -> Task:
    where = str(path)
    try:
        own = plain_fields(table)
        row = {
            "instance_id": own.get("id", folder.name),
            "problem_statement": own["statement"] if "statement" in own else _statement(folder),
            "files": read_files(folder / REPO, f"{folder}/{REPO}"),
            "FAIL_TO_PASS": own.get("fail_to_pass", []),
            "PASS_TO_PASS": own.get("pass_to_pass", []),
            "solution": read_files(folder / FIX, f"{folder}/{FIX}"),
        }
        row = own_row(own, row, read_files(folder / HIDDEN, f"{folder}/{HIDDEN}"))
    except (TypeError, ValueError) as fault:
        raise TaskFormatError(f"{where}: [metadata.toprope]: {fault}") from None
    return from_row(row, where)


def _statement(folder: Path) -> str:
    path = folder / "instruction.md"
    if not path.is_file():
        raise TaskFormatError(f"{path}: is missing; it holds the problem statement")
    return as_text(path.read_bytes())


def _foreign(folder: Path, config: Mapping[str, Any]) -> Foreign:
    path = folder / CONFIG
    steps = sorted(folder.glob("steps/*/instruction.md"))
    statement = "\n\n".join(as_text(step.read_bytes()) for step in steps) or _statement(folder)
    name = _table(config, "task", path).get("name") or folder.name
    files = {
        file.relative_to(folder).as_posix(): as_text(file.read_bytes())
        for file in sorted(folder.rglob("*"))
        if file.is_file() and not file.is_symlink() and file.stat().st_size <= _LARGEST
    }
    return Foreign(str(name), statement, _needs(files, config, path), files)


def _needs(files: Mapping[str, str], config: Mapping[str, Any], path: Path) -> str:
    """The first reason why another maker's task cannot run here."""
    verifier = _table(config, "verifier", path)
    images = (_table(config, "environment", path), _table(verifier, "environment", path))
    if any(table.get("docker_image") for table in images):
        return "docker_image is set"
    if "environment/docker-compose.yaml" in files:
        return "it has several containers"
    dockerfile = files.get("environment/Dockerfile", "")
    if any(line.split(maxsplit=1)[:1] in (["RUN"], ["run"]) for line in dockerfile.splitlines()):
        return "its Dockerfile runs commands"
    if config.get("steps"):
        return "it has several steps"
    if not any(name.startswith("tests/") and name.endswith(".py") for name in files):
        return "it has no Python tests"
    return "no fail_to_pass in [metadata.toprope]"


def _table(config: Mapping[str, Any], name: str, path: Path) -> Mapping[str, Any]:
    value = config.get(name, {})
    if not isinstance(value, dict):
        raise TaskFormatError(f"{path}: {name}: expected a table, got {str(value)[:60]!r}")
    return value

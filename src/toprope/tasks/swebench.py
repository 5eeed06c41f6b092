"""Rows as SWE-bench and SWE-smith write them, with an inline map of files, and back.

A row without files needs a checkout and a container, and is kept as `Foreign`. It must not
know where rows are kept (see `taskset`), nor how a diff is applied (see `diffs`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from toprope.tasks.diffs import apply_diff, make_diff
from toprope.tasks.foreign import Foreign
from toprope.tasks.own import own_fields, own_row
from toprope.tasks.rows import Row, from_row, required_ids
from toprope.tasks.soundness import TaskFormatError
from toprope.terms import Task

Files = Mapping[str, str]


def is_swebench(row: Mapping[str, Any]) -> bool:
    """Whether these are the keys of a row of SWE-bench's kind."""
    return "instance_id" in row and "patch" in row


def to_swebench(task: Task) -> Row:
    """Return the row of `task`; what SWE-bench has no name for is under `metadata.toprope`.

    `files` is the starting state, `patch` mends it, `test_patch` lays the hidden tests over it.
    """
    start = task.start()
    own = {**own_fields(task), "solution": list(task.solution)}
    hidden = task.suite.files if task.suite else {}
    if task.suite:
        own["suite"]["files"] = list(hidden)
    return {
        "instance_id": task.id,
        "repo": task.source.package,
        "base_commit": task.source.version,
        "patch": make_diff(start, {**start, **task.solution}),
        "test_patch": make_diff(start, {**start, **hidden}),
        "problem_statement": task.statement,
        "hints_text": "",
        "version": task.source.version,
        "environment_setup_commit": task.source.version,
        "FAIL_TO_PASS": list(task.fail_to_pass),
        "PASS_TO_PASS": list(task.pass_to_pass),
        "files": start,
        "metadata": {"toprope": own},
    }


def from_swebench(
    row: Mapping[str, Any], where: str = "row", smith: bool = False
) -> Task | Foreign:
    """Return the task that `row` holds; `where` opens the message of a `TaskFormatError`.

    `smith` says that `patch` brings the bug in; rows with an image and no `test_patch` are
    taken for such without being told.
    """
    files = row.get("files")
    if files is None:
        needs = "docker_image is set" if _image(row) else "no file map"
        return Foreign(str(row["instance_id"]), str(row.get("problem_statement") or ""), needs)
    if not isinstance(files, dict) or not all(isinstance(text, str) for text in files.values()):
        raise TaskFormatError(f"{where}: files: expected an object of path to text")
    try:
        patched = apply_diff(files, _text(row, "patch"), f"{where}: patch")
        backwards = smith or ("image_name" in row and "test_patch" not in row)
        start, fixed = (patched, files) if backwards else (files, patched)
        return from_row(_as_row(row, start, fixed, where), where)
    except ValueError as fault:
        raise TaskFormatError(f"{where}: {fault}; see docs/tasksets.md for the keys") from None


def _as_row(row: Mapping[str, Any], start: Files, fixed: Files, where: str) -> Row:
    own = _own(row)
    solution = _named(own.get("solution"), start, fixed, "metadata.toprope.solution")
    if not solution and "editable" not in own:
        raise ValueError("patch: it changes no file; a task needs a fix, or what is `editable`")
    own.setdefault("editable", list(solution))
    kept = ("instance_id", "repo", "base_commit", "FAIL_TO_PASS", "PASS_TO_PASS")
    known = {name: row[name] for name in kept if name in row}
    known["problem_statement"] = _text(row, "problem_statement")
    known |= {"files": start, "solution": solution}
    return own_row(own, known, {} if own.get("calls") else _tests(row, own, start, where))


def _tests(row: Mapping[str, Any], own: Row, start: Files, where: str) -> dict[str, str]:
    """The hidden test files, whole: of the diff, and of the start those that ids name."""
    after = apply_diff(start, _text(row, "test_patch", ""), f"{where}: test_patch")
    suite = own.get("suite", {})
    if "files" in suite:
        return _named(suite["files"], start, after, "metadata.toprope.suite.files")
    ids = [*required_ids(row, "FAIL_TO_PASS"), *required_ids(row, "PASS_TO_PASS")]
    paths = dict.fromkeys(name.partition("::")[0] for name in ids)
    own["suite"] = {"paths": [path for path in paths if path in after], **suite}
    changed = _named(None, start, after)
    return {**{path: after[path] for path in paths if path in after}, **changed}


def _named(names: Any, before: Files, after: Files, field: str = "") -> dict[str, str]:
    """The texts of `after` under these names; without names, those that are not as before."""
    if names is None:
        return {path: text for path, text in after.items() if before.get(path) != text}
    lost = [name for name in names if name not in after]
    if lost:
        raise ValueError(f"{field}: {lost} are in neither `files` nor the diff")
    return {name: after[name] for name in names}


def _own(row: Mapping[str, Any]) -> Row:
    metadata = row.get("metadata") or {}
    own = metadata.get("toprope") or {} if isinstance(metadata, dict) else None
    if not isinstance(own, dict) or not isinstance(own.get("suite", {}), dict):
        raise ValueError("metadata.toprope: expected an object, with an object as its `suite`")
    return dict(own)


def _text(row: Mapping[str, Any], name: str, default: str | None = None) -> str:
    value = row.get(name, default)
    if not isinstance(value, str):
        raise ValueError(f"{name}: expected a text, got {str(value)[:60]!r}")
    return value


def _image(row: Mapping[str, Any]) -> bool:
    return any(row.get(name) for name in ("docker_image", "image_name"))

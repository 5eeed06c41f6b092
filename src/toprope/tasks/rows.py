"""One task as one packed JSON row, and back without loss.

Knows the keys of the row and their defaults. It must not know where rows are kept (see
`taskset`), what makes a task unusable (see `soundness`), how tasks are made or graded.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from fnmatch import fnmatchcase
from typing import Any

from toprope.tasks.soundness import TaskFormatError, check
from toprope.tasks.trees import packed, unpacked
from toprope.terms import PYTEST, Call, Focus, Source, Split, Suite, Task, Tier, Tree

Row = dict[str, Any]
Trees = Mapping[str, Tree]


def to_row(task: Task) -> Row:
    """Return the packed row of `task`, plain JSON values in a fixed order of keys."""
    row: Row = {
        "instance_id": task.id,
        "split": task.split.value,
        "tier": task.tier.value if task.tier else None,
        "problem_statement": task.statement,
        "files": dict(task.files),
        "focus": asdict(task.focus),
        "editable": list(task.editable),
        "entry": task.entry,
        "calls": [asdict(call) for call in task.calls],
        "FAIL_TO_PASS": list(task.fail_to_pass),
        "PASS_TO_PASS": list(task.pass_to_pass),
        "solution": packed(task.solution, task.tree),
        "metadata": {"toprope": {"source": asdict(task.source), "features": dict(task.features)}},
    }
    if task.impossible:
        row["metadata"]["toprope"]["impossible"] = True
    if task.tree:
        row["tree"] = task.tree.hash
    if task.removed:
        row["removed"] = list(task.removed)
    if task.suite:
        row["tests"] = _suite_row(task.suite, task.tree)
    return row


def from_row(row: Mapping[str, Any], where: str = "row", trees: Trees | None = None) -> Task:
    """Return the task that `row` holds; `where` opens the message of a `TaskFormatError`.

    `trees` are the trees that the row may name.
    """
    try:
        task = _read(row, trees or {})
    except KeyError as missing:
        raise TaskFormatError(f"{where}: the key {missing} is missing; add it") from None
    except (TypeError, ValueError, AttributeError) as fault:
        raise TaskFormatError(f"{where}: {fault}; see docs/tasksets.md for the keys") from None
    check(task, where)
    return task


def _read(row: Mapping[str, Any], trees: Trees) -> Task:
    own = _field(row.get("metadata", {}), "metadata", dict).get("toprope", {})
    task_id = str(row["instance_id"])
    tree = _tree(row, trees)
    files = _texts(row, "files", tree)
    editable = tuple(_field(row["editable"], "editable", list))
    suite = _suite(row["tests"], tree) if row.get("tests") else None
    source = own.get("source") or _by_hand(task_id, row)
    return Task(
        id=task_id,
        split=Split(row.get("split", "train")),
        tier=Tier(row["tier"]) if row.get("tier") else None,
        statement=str(row["problem_statement"]),
        files=files,
        focus=Focus(**row["focus"]) if row.get("focus") else _whole(files, editable),
        editable=editable,
        entry=str(row.get("entry", "")),
        calls=tuple(Call(**call) for call in row.get("calls", ())),
        fail_to_pass=required_ids(row, "FAIL_TO_PASS"),
        pass_to_pass=required_ids(row, "PASS_TO_PASS"),
        solution=_texts(row, "solution", tree),
        source=Source(**source),
        features=dict(own.get("features", {})),
        suite=suite,
        tree=tree,
        removed=tuple(row.get("removed", ())),
        impossible=_field(own.get("impossible", False), "metadata.toprope.impossible", bool),
    )


def _tree(row: Mapping[str, Any], trees: Trees) -> Tree | None:
    name = row.get("tree")
    if name is None:
        return None
    if name not in trees:
        raise ValueError(f"tree: no line above holds the tree {str(name)[:12]!r}")
    return trees[name]


def _whole(files: Mapping[str, str], editable: Sequence[str]) -> Focus:
    """The first editable file, all of it: what a task written by hand is about."""
    for path, text in files.items():
        if any(fnmatchcase(path, glob) for glob in editable if not glob.startswith("!")):
            return Focus(path, 1, text.rstrip("\n").count("\n") + 1)
    raise ValueError(f"editable: none of {list(editable)} matches a path in `files`")


def _by_hand(task_id: str, row: Mapping[str, Any]) -> dict[str, Any]:
    """The source of a row without one: SWE-bench's names if it has them, else the task itself."""
    return {
        "package": str(row.get("repo", "")),
        "version": str(row.get("base_commit", "")),
        "path": "",
        "line": 0,
        "licence": "",
        "function": task_id,
        "operator": "",
    }


def _suite_row(suite: Suite, tree: Tree | None) -> Row:
    row = {**asdict(suite), "files": packed(suite.files, tree)}
    if suite.runner == PYTEST:
        del row["runner"]  # rows of before there was another stay as they are
    return row


def _suite(value: Any, tree: Tree | None) -> Suite:
    """Read `tests`: a map of path to text, or a map with `files`, `paths` and the rest."""
    if isinstance(value, dict) and isinstance(value.get("files"), dict | list):
        files = unpacked(value["files"], tree)
        rest = {name: part for name, part in value.items() if name != "files"}
        rest["paths"] = tuple(rest.get("paths", files))
        rest["imports"] = tuple(rest.get("imports", ("",)))
        rest["args"] = tuple(rest.get("args", ()))
        return Suite(files=files, **rest)
    files = unpacked(_field(value, "tests", dict), tree)
    return Suite(files=files, paths=tuple(files))


def _texts(row: Mapping[str, Any], name: str, tree: Tree | None) -> dict[str, str]:
    try:
        return unpacked(_field(row.get(name, {}), name, dict), tree)
    except ValueError as fault:
        raise ValueError(f"{name}: {fault}") from None


def _field(value: Any, name: str, kind: type) -> Any:
    if not isinstance(value, kind):
        wanted = {dict: "an object", list: "a list", bool: "true or false"}[kind]
        raise ValueError(f"{name}: expected {wanted}, got {str(value)[:60]!r}")
    return value


def required_ids(row: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """Return FAIL_TO_PASS or PASS_TO_PASS; SWE-bench has them as lists or as JSON strings.

    Raises ValueError for anything else.
    """
    value = row.get(name, [])
    try:
        listed = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        listed = None
    if not isinstance(listed, list | tuple):
        raise ValueError(f"{name}: expected a list of test ids, got {value!r}")
    return tuple(str(item) for item in listed)

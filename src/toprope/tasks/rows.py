"""One task as one packed JSON row, and back without loss.

Knows the keys of the row and what makes a row unusable. It must not know where rows are
kept (see `taskset`), how tasks are made, or how they are graded.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from toprope.terms import Call, Focus, Source, Split, Task, Tier, TopropeError

Row = dict[str, Any]


class TaskFormatError(TopropeError):
    """A row that cannot become a task; the message says which line and what to change."""


def to_row(task: Task) -> Row:
    """Return the packed row of `task`, plain JSON values in a fixed order of keys."""
    return {
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
        "solution": dict(task.solution),
        "metadata": {"toprope": {"source": asdict(task.source), "features": dict(task.features)}},
    }


def from_row(row: Mapping[str, Any], where: str = "row") -> Task:
    """Return the task that `row` holds; `where` opens the message of a `TaskFormatError`."""
    try:
        task = _read(row)
    except KeyError as missing:
        raise TaskFormatError(f"{where}: the key {missing} is missing; add it") from None
    except (TypeError, ValueError, AttributeError) as fault:
        raise TaskFormatError(f"{where}: {fault}; see the row keys in tasks/rows.py") from None
    _check(task, where)
    return task


def _read(row: Mapping[str, Any]) -> Task:
    own = row["metadata"]["toprope"]
    return Task(
        id=str(row["instance_id"]),
        split=Split(row["split"]),
        tier=Tier(row["tier"]) if row.get("tier") else None,
        statement=str(row["problem_statement"]),
        files=_texts(row["files"]),
        focus=Focus(**row["focus"]),
        editable=tuple(row["editable"]),
        entry=str(row["entry"]),
        calls=tuple(Call(**call) for call in row["calls"]),
        fail_to_pass=_ids(row["FAIL_TO_PASS"]),
        pass_to_pass=_ids(row["PASS_TO_PASS"]),
        solution=_texts(row["solution"]),
        source=Source(**own["source"]),
        features=dict(own.get("features", {})),
    )


def _texts(value: Mapping[str, str]) -> dict[str, str]:
    return {str(path): str(text) for path, text in value.items()}


def _ids(value: str | Sequence[str]) -> tuple[str, ...]:
    """SWE-bench rows carry these lists as JSON strings or as lists; both are read."""
    listed = json.loads(value) if isinstance(value, str) else value
    if not isinstance(listed, list | tuple):
        raise ValueError(f"expected a list of test ids, got {value!r}")
    return tuple(str(item) for item in listed)


def _check(task: Task, where: str) -> None:
    """Refuse what would make every later number about this task meaningless."""
    if not task.fail_to_pass:
        raise TaskFormatError(
            f"{where}: FAIL_TO_PASS is empty; a task needs at least one failing test"
        )
    ids = [call.id for call in task.calls]
    if len(set(ids)) != len(ids):
        raise TaskFormatError(f"{where}: two calls share an id; make the ids of `calls` unique")
    unknown = sorted({*task.fail_to_pass, *task.pass_to_pass} - set(ids))
    if unknown:
        raise TaskFormatError(f"{where}: tests {unknown} are not among `calls`; add or drop them")
    both = sorted({*task.fail_to_pass} & {*task.pass_to_pass})
    if both:
        raise TaskFormatError(f"{where}: tests {both} are both failing and passing; keep one")
    if task.focus.path not in task.files:
        raise TaskFormatError(f"{where}: focus names {task.focus.path!r}, which is not in `files`")
    lines = task.files[task.focus.path].count("\n") + 1
    if not 1 <= task.focus.first <= task.focus.last <= lines:
        raise TaskFormatError(
            f"{where}: focus lines {task.focus.first}-{task.focus.last} are outside the file"
        )
    if task.split is Split.HELDOUT and task.tier is None:
        raise TaskFormatError(f"{where}: a heldout task needs a tier (near, mid or far)")

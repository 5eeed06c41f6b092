"""What a task holds that other people's forms have no name for, and a row put together again.

Shared by the forms that keep ours below `metadata.toprope`. It must not know any of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from toprope.tasks.rows import Row
from toprope.terms import PYTEST, Task

_IN_ROW = ("split", "tier", "focus", "editable", "entry", "calls")
_IN_METADATA = ("source", "features", "impossible")


def own_fields(task: Task) -> Row:
    """Return the fields of `task` besides its id, statement, files and required tests.

    A suite is told without the texts of its files; what is absent has the default of a row.
    """
    fields: Row = {"split": task.split.value}
    if task.tier:
        fields["tier"] = task.tier.value
    fields["focus"] = asdict(task.focus)
    fields["editable"] = list(task.editable)
    if task.entry:
        fields["entry"] = task.entry
    if task.calls:
        fields["calls"] = [asdict(call) for call in task.calls]
    if task.suite:
        fields["suite"] = {
            "paths": list(task.suite.paths),
            "imports": list(task.suite.imports),
            "environment": task.suite.environment,
            "timeout_s": task.suite.timeout_s,
            "args": list(task.suite.args),
        }
        if task.suite.runner != PYTEST:
            fields["suite"]["runner"] = task.suite.runner
    fields["source"] = asdict(task.source)
    fields["features"] = dict(task.features)
    if task.impossible:
        fields["impossible"] = True
    return fields


def own_row(own: Mapping[str, Any], row: Row, tests: Mapping[str, str]) -> Row:
    """Return `row` with what `own` adds; `tests` are the suite's files, if it has one.

    Raises TypeError if the suite in `own` is not a map.
    """
    found = {**row, **{name: own[name] for name in _IN_ROW if name in own}}
    found["metadata"] = {"toprope": {name: own[name] for name in _IN_METADATA if name in own}}
    if tests or "suite" in own:
        found["tests"] = {**own.get("suite", {}), "files": dict(tests)}
    return found

"""What a planner's verbs were asked about: the workload from its options, the file to write."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from toprope.plan.climbrun import as_workload, is_run, read_run
from toprope.plan.workload import Workload, WorkloadError, changed, load_workload


def asked_workload(name: str, model: str, changes: Sequence[str] | None) -> Workload:
    """Return the workload of a preset, file or run, with a model and fields changed.

    Raises `WorkloadError` for a field that is none or a value that is no value.
    """
    values: dict[str, Any] = dict(_field(change) for change in changes or ())
    if is_run(Path(name)):
        work = as_workload(read_run(Path(name), model))
        return changed(work, values) if values else work
    if model:
        values = {"model": model, **values}
    work = load_workload(name)
    return changed(work, values) if values else work


def _field(change: str) -> tuple[str, Any]:
    name, equals, value = change.partition("=")
    if not equals:
        raise WorkloadError(f"--set {change}: write it as field=value")
    name = name.strip().replace("-", "_")
    try:
        return name, tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return name, value


def written(path: Path, text: str) -> None:
    """Write a page whole or not at all. Raises `WorkloadError` where it cannot be written."""
    partial = path.with_name(path.name + ".partial")
    try:
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, path)
    except OSError as error:
        raise WorkloadError(f"{path}: the page cannot be written: {error}") from error

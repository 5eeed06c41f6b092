"""The lists of models and of workloads that can be named, as rows and as one entry's lines.

It must not know chips.
"""

from __future__ import annotations

from dataclasses import fields

from toprope.plan.lines import columns, prose
from toprope.plan.shapes import Shape, load_shapes
from toprope.plan.units import number
from toprope.plan.workload import presets

Rows = list[tuple[str, ...]]


def model_rows() -> Rows:
    """Return every model's shape in a row, the head first."""
    rows: Rows = [("model", "parameters", "active", "layers", "attention", "source")]
    for key, shape in load_shapes().items():
        size, active = _billions(shape.parameters), _billions(shape.parameters_active)
        rows.append((key, size, active, str(shape.layers), shape.attention_kind, shape.source))
    return rows


def model_list(rows: Rows) -> list[str]:
    """Return the rows of models as lines, without their sources."""
    return [
        *columns([row[:-1] for row in rows]),
        "",
        "`toprope plan models NAME` tells its source.",
    ]


def model_lines(shape: Shape) -> list[str]:
    """Return one model's sizes as its publisher gives them, those it has."""
    sizes = [f"{f.name} {getattr(shape, f.name)}" for f in fields(shape) if f.type != "str"]
    told = [size for size in sizes if not size.endswith((" 0", " 0.0", " False", " ()", " 1.0"))]
    lines = [f"{shape.key}: {_billions(shape.parameters)} parameters, {shape.source}"]
    return lines + prose("; ".join(told), "  ")


def workload_rows() -> Rows:
    """Return every named workload in a row, the head first."""
    rows: Rows = [("workload", "model", "what")]
    return rows + [(name, work.shape.key, work.about) for name, work in presets().items()]


def as_dicts(rows: Rows) -> list[dict[str, str]]:
    """Return rows as data, by the names in the first."""
    head, *body = rows
    return [dict(zip(head, row, strict=True)) for row in body]


def _billions(parameters: float) -> str:
    return f"{number(parameters / 1e9)} B"

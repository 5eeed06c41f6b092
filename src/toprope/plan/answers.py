"""Answers as plain data for JSON: ranges as three numbers, chips and shapes by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from math import isinf
from typing import Any

from toprope.plan.chips import Chip
from toprope.plan.ranges import Range
from toprope.plan.shapes import Shape


def as_data(value: Any) -> Any:
    """Return a value of this room as lists, dicts, numbers and text; infinity as None."""
    if isinstance(value, Range):
        return value.as_json()
    if isinstance(value, Chip | Shape):
        return value.key
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: as_data(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): as_data(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [as_data(one) for one in value]
    if isinstance(value, float) and isinf(value):
        return None
    return value


def chip_data(chip: Chip) -> dict[str, Any]:
    """Return a chip with every figure in base units, its source and its status."""
    return {field.name: as_data(getattr(chip, field.name)) for field in fields(chip)}

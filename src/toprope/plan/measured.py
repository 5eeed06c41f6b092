"""Measured decode latencies from a CSV, and how far the model of decoding is off them.

Columns are those of NVIDIA AIConfigurator's `silicon_sample.csv`. A row of an unknown model is
read as the nearest known one where its name says enough; what cannot be read is counted with
its reason, never dropped in silence.
"""

from __future__ import annotations

import csv
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from math import isfinite, nan
from pathlib import Path
from typing import Any

from toprope.plan.chipfile import load_chips
from toprope.plan.chips import Chip, Chips, UnknownChip, find_chip
from toprope.plan.decode import BACKENDS, STORED, Served, seconds_per_token
from toprope.plan.layout import labelled
from toprope.plan.shapes import Shape, UnknownShape, find_shape
from toprope.plan.standin import stand_in
from toprope.terms import TopropeError

_NEEDED = ("model_path", "system", "isl", "osl", "batch_size", "tp_size", "silicon_tpot_ms")
_PRECISIONS = {
    "fp16": "bf16",
    "bfloat16": "bf16",
    "float16": "bf16",
    "nvfp4": "fp4",
    "mxfp4": "fp4",
    "w4a16": "int4",
    "w4afp8": "int4",
    "awq": "int4",
    "gptq": "int4",
    "w8a8": "int8",
    "int8_wo": "int8",
    "sq": "int8",
    "int4_wo": "int4",
    "fp8_static": "fp8",
    "fp8_ootb": "fp8",
    "w4a16_mxfp4": "fp4",
    "w4a8_mxfp4": "fp4",
    **dict.fromkeys(("auto", "none", "nan"), ""),
}
_FORM = re.compile(r"_(?:sxm\d?|oam|nvl\d*|hgx|dgx|hbm\w*|\d+gi?b)$")
# Seconds that a decode step can take; what is beyond is another unit or a broken row.
_STEP = (5e-5, 60.0)


class RowError(TopropeError):
    """A row that cannot be predicted; the message is the reason it is counted under."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A served model and its measured seconds per output token. `told` is the model's name."""

    served: Served
    seconds: float
    told: str
    backend: str

    def error(self, constants: Mapping[str, float] | None = None) -> float:
        """Return predicted over measured, less 1."""
        return seconds_per_token(self.served, constants) / self.seconds - 1

    @property
    def stands_in(self) -> bool:
        """Whether a nearest shape was taken for a model that none is known of."""
        return _shape(self.told)[1]


def read_rows(path: Path, chips: Chips | None = None) -> tuple[list[Measured], Counter[str]]:
    """Return the rows that can be predicted, and how many were skipped for which reason.

    Raises `RowError` if the file is not a CSV with the columns that are needed.
    """
    known = load_chips() if chips is None else chips
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            table = csv.DictReader(file)
            columns = table.fieldnames or ()
            rows = list(table)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RowError(f"{path}: not a readable CSV: {error}") from error
    if missing := [name for name in _NEEDED if name not in columns]:
        raise RowError(f"{path}: no column {', '.join(missing)}; its columns name a measured row")
    found, skipped = [], Counter[str]()
    systems: dict[str, Chip] = {}
    for row in rows:
        try:
            found.append(read_row(row, known, systems))
        except RowError as error:
            skipped[str(error)] += 1
    return found, skipped


def read_row(
    row: Mapping[str, str], chips: Chips, systems: dict[str, Chip] | None = None
) -> Measured:
    """Return one row as what was served and how long a token took. Raises `RowError`."""
    system = row.get("system") or ""
    found = {} if systems is None else systems
    if system not in found:
        found[system] = _chip(system, chips)
    name = row.get("model_path") or ""
    shape, _ = _shape(name)
    layout = labelled(
        _count(row, "tp_size"),
        _perhaps(row, "attention_dp_size", 0),
        _perhaps(row, "moe_tp_size", 1),
        _perhaps(row, "moe_ep_size", 1),
        _count(row, "batch_size"),
        _perhaps(row, "pp_size", 1),
    )
    seconds = _number(row, "silicon_tpot_ms") / 1e3
    if not _STEP[0] <= seconds <= _STEP[1]:
        raise RowError("silicon_tpot_ms is no time of a token: 0.05 ms to 60 s")
    served = Served(
        shape=shape,
        chip=found[system],
        precision=_precision(row, shape),
        layout=layout,
        prompt=_count(row, "isl"),
        answer=_count(row, "osl"),
        backend=_backend(row),
        mixed=(row.get("mode") or "agg").strip().lower() == "agg",
    )
    return Measured(served, seconds, name, served.backend)


def summary(
    rows: Iterable[Measured],
    skipped: Mapping[str, int],
    constants: Mapping[str, float] | None = None,
) -> dict[str, Any]:
    """Return mean absolute errors as fractions, for dense and MoE models and by chip and model."""
    kinds: dict[str, list[float]] = {"dense": [], "moe": []}
    groups: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    shapes: dict[str, tuple[str, bool]] = {}
    count = 0
    for row in rows:
        error = row.error(constants)
        count += 1
        kinds["moe" if row.served.shape.is_moe else "dense"].append(error)
        groups[row.served.chip.key, row.told, row.backend].append(error)
        shapes[row.told] = (row.served.shape.key, row.stands_in)
    by = [
        {
            "chip": chip,
            "model": told,
            "shape": shapes[told][0],
            "stands_in": shapes[told][1],
            "backend": backend,
            "rows": len(errors),
            "mape": _mean(map(abs, errors)),
            "bias": _mean(errors),
        }
        for (chip, told, backend), errors in sorted(groups.items())
    ]
    return {
        "mape": {kind: _mean(map(abs, errors)) for kind, errors in kinds.items()},
        "median": {kind: _median(map(abs, errors)) for kind, errors in kinds.items()},
        "rows": count,
        "rows_by_kind": {kind: len(errors) for kind, errors in kinds.items()},
        "skipped": dict(skipped),
        "by": by,
    }


def _chip(system: str, chips: Chips) -> Chip:
    """The chip of `h200_sxm`, `GB300 NVL72`, `gb200_nvl72_sxm`: without its form if need be."""
    name = system.strip().lower().replace("-", "_").replace(" ", "_").removeprefix("nvidia_")
    while True:
        try:
            return find_chip(name, chips)
        except UnknownChip:
            shorter = _FORM.sub("", name)
            if shorter == name:
                raise RowError(f"system {system}: no chip of that name") from None
            name = shorter


@cache
def _shape(name: str) -> tuple[Shape, bool]:
    try:
        return find_shape(name), False
    except UnknownShape:
        found = stand_in(name)
    if found is None:
        raise RowError(f"model {name}: no shape of that name, nor a size in it")
    return found, True


def _precision(row: Mapping[str, str], shape: Shape) -> str:
    told = (row.get("precision") or "").strip().lower()
    told = _PRECISIONS.get(told, told.removesuffix("_block"))
    if told in STORED:
        return told
    if told:
        raise RowError(f"precision {told}: not one of {', '.join(STORED)}")
    name = (row.get("model_path") or "").lower()
    marked = next((p for p in ("nvfp4", "mxfp4", "fp4", "fp8", "int4") if p in name), "")
    return _PRECISIONS.get(marked, marked) or ("fp4" if shape.body_bytes else "bf16")


def _backend(row: Mapping[str, str]) -> str:
    """The server: "dynamo-trtllm" is TensorRT-LLM by another front door."""
    told = (row.get("backend") or "").strip().lower()
    return next((name for name in BACKENDS if name in told), told)


def _count(row: Mapping[str, str], name: str) -> int:
    found = round(_number(row, name))
    if found < 1:
        raise RowError(f"{name} is below 1")
    return found


def _perhaps(row: Mapping[str, str], name: str, least: int) -> int:
    """A column that some measurements leave empty or 0, which then means `least`."""
    told = (row.get(name) or "").strip()
    found = round(_number(row, name)) if told else least
    if found < 0:
        raise RowError(f"{name} is below 0")
    return max(least, found)


def _number(row: Mapping[str, str], name: str) -> float:
    try:
        value = float((row.get(name) or "").strip())
    except ValueError:
        value = nan
    if not isfinite(value):
        raise RowError(f"{name} is not a number")
    return value


def _mean(values: Iterable[float]) -> float | None:
    every = list(values)
    return sum(every) / len(every) if every else None


def _median(values: Iterable[float]) -> float | None:
    every = sorted(values)
    return (every[len(every) // 2] + every[~len(every) // 2]) / 2 if every else None

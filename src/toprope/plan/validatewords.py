"""What a validation says, as lines of text. It must not compute anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from toprope.plan.lines import columns, listed, prose
from toprope.plan.units import number, told
from toprope.plan.validate import FLAT_MFU, WITHIN, RunCheck, SumCheck, Validation


def validation_lines(found: Validation) -> list[str]:
    """Return the tables of a validation, with the runs that miss and why."""
    lines = ["Training runs, thousands of chip-hours", *_runs(found.training)]
    runs, good, flat = found.training, found.reproduced, found.flat
    worst, flat_worst = max(abs(r.off) for r in good), max(abs(r.flat_off or 0) for r in flat)
    inside = sum(run.in_range for run in runs)
    lines += prose(
        f"planner: {len(good)} of {len(runs)} within ±{WITHIN:.0%}, the farthest of them "
        f"{worst:.0%} off; published inside the predicted range: {inside}",
        "  ",
    )
    lines.append(
        f"  a flat {FLAT_MFU:.0%} of peak on 6ND: {len(flat)}, the farthest {flat_worst:.0%} off"
    )
    for run in runs:
        if not run.reproduced:
            lines += prose(f"misses: {run.name} ({run.off:+.0%}). {run.note}", "  ")
    lines += ["", *listed("Their arithmetic:", [f"{run.name}: {run.steps}" for run in runs])]
    lines += ["Post-training, thousands of chip-hours, of presets with assumed lengths"]
    lines += _runs(found.post)
    for run in found.post:
        lines += prose(f"{run.name}: {run.note}", "  ")
    near = sum(abs(one.off) <= 0.10 for one in found.memory)
    lines += ["", "Sums", *_sums(found.sums), "", "Memory", *_sums(found.memory)]
    lines += [f"  within ±10%: {near} of {len(found.memory)}", ""]
    return lines + listed("Not predicted:", [f"{n}: {w}" for n, w in found.unpredicted.items()])


def decode_lines(found: Mapping[str, Any]) -> list[str]:
    """Return the errors of decode latency by chip, model and backend."""
    rows = [("chip", "model", "backend", "rows", "error", "bias")]
    stand_ins = {}
    for one in found["by"]:
        error, bias = f"{one['mape']:.1%}", f"{one['bias']:+.1%}"
        rows.append((one["chip"], one["model"], one["backend"], f"{one['rows']:,}", error, bias))
        if one["stands_in"]:
            stand_ins[one["model"]] = one["shape"]
    lines = ["Decode, seconds per output token: mean absolute error", *columns(rows, "  ")]
    for kind in ("dense", "moe"):
        if found["mape"][kind] is not None:
            lines.append(
                f"{kind}: {found['mape'][kind]:.1%} mean, {found['median'][kind]:.1%} median "
                f"of {found['rows_by_kind'][kind]:,} rows"
            )
    for model, shape in stand_ins.items():
        lines += prose(f"no shape is known of {model}: read as {shape}")
    for why, count in found["skipped"].items():
        lines += prose(f"skipped {count:,}: {why}")
    return lines


def _runs(runs: Sequence[RunCheck]) -> list[str]:
    rows = [("run", "published", "planner", "off", "flat", "MFU of 6ND")]
    for run in runs:
        flat = "" if run.flat_off is None else f"{run.flat_off:+.0%}"
        mfu = f"{run.mfu:.1%}" if run.mfu else ""
        planned = told(run.predicted / 1000, "1")
        row = (run.name, number(run.published / 1000), planned, f"{run.off:+.0%}", flat, mfu)
        rows.append(row)
    return columns(rows, "  ")


def _sums(checks: Sequence[SumCheck]) -> list[str]:
    lines = []
    for one in checks:
        unit = "" if one.unit == "1" else f" {one.unit}"
        found = f"{_plain(one.value)}{unit}; published {_plain(one.published)}, {one.off:+.1%}"
        lines += prose(f"{one.what}: {one.steps} = {found}", "  ", "      ")
        lines += prose(one.note, "      ") if one.note else []
    return lines


def _plain(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"

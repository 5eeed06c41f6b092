"""What a validation says, as lines of text. It must not compute anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from toprope.plan.units import number
from toprope.plan.validate import FLAT_MFU, WITHIN, RunCheck, SumCheck, Validation


def validation_lines(found: Validation) -> list[str]:
    """Return the tables of a validation, with the runs that miss and why."""
    lines = ["Training runs, chip-hours", *_runs(found.training)]
    runs, good, flat = found.training, found.reproduced, found.flat
    worst, flat_worst = max(abs(r.off) for r in good), max(abs(r.flat_off or 0) for r in flat)
    inside = sum(run.in_range for run in runs)
    lines += [
        f"  planner: {len(good)} of {len(runs)} within ±{WITHIN:.0%}, the farthest of them "
        f"{worst:.0%} off; published inside the predicted range: {inside}",
        f"  a flat {FLAT_MFU:.0%} of peak on 6ND: {len(flat)}, the farthest {flat_worst:.0%} off",
    ]
    for run in found.training:
        if not run.reproduced:
            lines.append(f"  misses: {run.name} ({run.off:+.0%}). {run.note}")
    lines += ["", "Post-training, chip-hours of presets with assumed lengths", *_runs(found.post)]
    lines += [f"  {run.name}: {run.note}" for run in found.post]
    near = sum(abs(one.off) <= 0.10 for one in found.memory)
    lines += ["", "Sums", *_sums(found.sums), "", "Memory", *_sums(found.memory)]
    lines.append(f"  within ±10%: {near} of {len(found.memory)}")
    lines += ["", "Not predicted"]
    lines += [f"  {name}: {why}" for name, why in found.unpredicted.items()]
    return lines


def decode_lines(found: Mapping[str, Any]) -> list[str]:
    """Return the errors of decode latency by chip, model and backend."""
    rows = [("chip", "model", "backend", "rows", "error", "bias", "read as")]
    for one in found["by"]:
        error, bias = f"{one['mape']:.1%}", f"{one['bias']:+.1%}"
        names = (one["chip"], one["model"], one["backend"])
        rows.append((*names, str(one["rows"]), error, bias, one["shape"]))
    lines = ["Decode, seconds per output token: mean absolute error", *_columns(rows)]
    for kind in ("dense", "moe"):
        if found["mape"][kind] is not None:
            lines.append(
                f"{kind}: {found['mape'][kind]:.1%} mean, {found['median'][kind]:.1%} median "
                f"of {found['rows_by_kind'][kind]:,} rows"
            )
    lines += [f"skipped {count:,}: {why}" for why, count in found["skipped"].items()]
    return lines


def _runs(runs: Sequence[RunCheck]) -> list[str]:
    rows = [("run", "on", "tokens", "published", "planner", "off", "flat", "MFU of 6ND")]
    for run in runs:
        low, high = number(run.predicted.min), number(run.predicted.max)
        rows.append(
            (
                run.name,
                run.pool,
                f"{run.tokens:.3g}",
                number(run.published),
                f"{number(run.predicted.typ)} ({low}–{high})",
                f"{run.off:+.0%}",
                "" if run.flat_off is None else f"{run.flat_off:+.0%}",
                f"{run.mfu:.1%}" if run.mfu else "",
            )
        )
    return _columns(rows)


def _sums(checks: Sequence[SumCheck]) -> list[str]:
    rows = [("what", "arithmetic", "computed", "published", "off")]
    for one in checks:
        value, published = f"{one.value:,.4g}", f"{one.published:,.4g} {one.unit}"
        rows.append((one.what, one.steps, value, published, f"{one.off:+.1%}"))
    return [*_columns(rows), *(f"  {one.what}: {one.note}" for one in checks if one.note)]


def _columns(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  "
        + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]

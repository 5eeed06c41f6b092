"""Fits the constants of `toprope.plan.decode` to measured rows, and tells how far they carry.

    python scripts/fit_decode.py ROWS.csv            # cross-validation only
    python scripts/fit_decode.py ROWS.csv --write    # and src/toprope/plan/decode_fit.toml

The fit is robust least squares on the logarithm of predicted over measured, every combination of
model, chip and backend weighing as the square root of its rows, each constant held to a start
value with a stated spread. That start is a guess of physics (a roofline reached to 50-80 %, tens
of microseconds a layer), so that a constant which no row speaks of stays sane. Needs scipy.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.optimize import least_squares

from toprope.plan import decode
from toprope.plan.measured import Measured, read_rows

# name: (start, spread of its logarithm, what it is)
START = {
    "layers": (45e-6, 1.0, "s per layer and step"),
    "moe_layers": (40e-6, 1.0, "s more per layer with experts"),
    "mla_layers": (15e-6, 1.0, "s more per layer of compressed attention"),
    "linear_layers": (20e-6, 1.0, "s more per layer of linear attention"),
    "indexed_layers": (20e-6, 1.0, "s more per layer that indexes what it attends to"),
    "hops": (5e-6, 1.0, "s per all-reduce and doubling of chips"),
    "step": (3e-4, 1.0, "s of host work per step"),
    "sequences": (5e-6, 1.0, "s of host work per sequence"),
    "body": (1.25, 0.2, "times the time to read weights outside the experts"),
    "experts": (1.4, 0.3, "times the time to read the experts touched"),
    "cache": (1.5, 0.3, "times the time to read caches"),
    "flops": (1.6, 0.4, "times the time of a step's FLOPs at peak"),
    "link": (2.0, 0.5, "times the time of all-reduced bytes"),
    "prompt_layers": (1e-4, 1.0, "s per layer of each arriving prompt"),
    "prompt_flops": (1.8, 0.4, "times the time of a prompt's FLOPs at peak"),
    "dense": (1.0, 0.5, "times the time of prompts, dense models"),
    "int4": (1.2, 0.3, "times constant and reads, INT4 weights (unpacked before use)"),
    "fp4": (1.1, 0.15, "times the time of reads, FP4 weights"),
}
_OWN = {
    "layer_dense": 0.25,
    "layer_moe": 0.25,
    "host": 0.5,
    "prompt_dense": 0.25,
    "prompt_moe": 0.2,
}
for _backend in decode.BACKENDS:
    for _name, _spread in _OWN.items():
        START[f"{_name}_{_backend}"] = (1.0, _spread, f"times, {_backend}")
NAMES = list(START)
_FIRST = np.log([START[name][0] for name in NAMES])
_SPREAD = np.array([START[name][1] for name in NAMES])
_HELD, _NOISE = 5.0, 0.15


class Table:
    """Rows as arrays, one group for each way the constants enter."""

    def __init__(self, rows: list[Measured]) -> None:
        self.rows = rows
        self.seconds = np.array([row.seconds for row in rows])
        groups = defaultdict(list)
        for index, row in enumerate(rows):
            served = row.served
            groups[served.shape.is_moe, served.backend, served.precision].append(index)
        self.groups = []
        for found in groups.values():
            parts = [decode.parts(rows[index].served) for index in found]
            arrays = {name: np.array([part[name] for part in parts]) for name in parts[0]}
            self.groups.append((np.array(found), arrays, rows[found[0]].served))

    def predicted(self, logs: np.ndarray) -> np.ndarray:
        constants = dict(zip(NAMES, np.exp(logs), strict=True))
        out = np.empty(len(self.rows))
        for found, arrays, served in self.groups:
            out[found] = decode.weighed(arrays, served, constants)
        return out

    def weights(self) -> np.ndarray:
        cells = [(r.served.shape.key, r.served.chip.key, r.backend) for r in self.rows]
        counts = {cell: cells.count(cell) for cell in set(cells)}
        weights = np.array([counts[cell] ** -0.5 for cell in cells])
        return np.sqrt(weights / weights.mean())


def fit(rows: list[Measured]) -> np.ndarray:
    table = Table(rows)
    weights = table.weights()

    def residuals(logs: np.ndarray) -> np.ndarray:
        off = weights * np.log(table.predicted(logs) / table.seconds) / _NOISE
        return np.concatenate([off, _HELD * (logs - _FIRST) / _SPREAD])

    return least_squares(residuals, _FIRST, loss="soft_l1", max_nfev=80).x


def told(errors: list[tuple[Measured, float]]) -> str:
    out = []
    for name, moe in (("dense", False), ("MoE", True)):
        found = [abs(e) for row, e in errors if row.served.shape.is_moe == moe]
        if found:
            middle = f"median {np.median(found):.1%}"
            out.append(f"{name} {np.mean(found):6.1%} of {len(found):4} rows ({middle})")
    return ", ".join(out)


def left_out(rows: list[Measured], part: str, key) -> list[tuple[Measured, float]]:
    """Errors of every row under a fit that saw no row of its part, nor of any part of a pair."""
    errors: list[tuple[Measured, float]] = []
    for value in sorted({key(row) for row in rows}):
        seen = [row for row in rows if not _shared(key(row), value)]
        unseen = [row for row in rows if key(row) == value]
        table = Table(unseen)
        off = list(zip(unseen, table.predicted(fit(seen)) / table.seconds - 1, strict=True))
        print(f"  without {_name(value):22} {told(off)}", flush=True)
        errors += off
    print(f"every {part} left out once: {told(errors)}")
    for backend in decode.BACKENDS:
        print(f"  {backend:7} {told([one for one in errors if one[0].backend == backend])}")
    return errors


def _shared(one, other) -> bool:
    if isinstance(one, tuple):
        return any(a == b for a, b in zip(one, other, strict=True))
    return one == other


def _name(value) -> str:
    return " ".join(value) if isinstance(value, tuple) else value


def write(path: Path, logs: np.ndarray, rows: list[Measured], source: str) -> None:
    lines = [
        "# Constants of `decode.py`, written by scripts/fit_decode.py. `value` is seconds, or",
        "# times what the datasheet says; `docs/planner.md` tells how well they predict.",
        f'source = "{source}"',
        f"rows = {len(rows)}",
        "",
    ]
    for name, value in zip(NAMES, np.exp(logs), strict=True):
        lines += [f"[constants.{name}]", f"value = {value:.4g}", f'what = "{START[name][2]}"', ""]
    path.write_text("\n".join(lines[:-1]) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("csv", type=Path)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--no-cross", action="store_true", help="skip the cross-validation")
    options = parser.parse_args()
    rows, skipped = read_rows(options.csv)
    print(f"{len(rows)} rows; skipped {dict(skipped)}")
    logs = fit(rows)
    table = Table(rows)
    print(
        "in sample:", told(list(zip(rows, table.predicted(logs) / table.seconds - 1, strict=True)))
    )
    if not options.no_cross:
        left_out(rows, "model", lambda row: row.served.shape.key)
        left_out(rows, "chip", lambda row: row.served.chip.key)
        left_out(
            rows, "chip and model together", lambda row: (row.served.chip.key, row.served.shape.key)
        )
        bare = [replace(row, served=replace(row.served, mixed=False)) for row in rows]
        only = dict.fromkeys(NAMES, 0.0) | dict.fromkeys(("body", "experts", "cache", "flops"), 1.0)
        only |= {
            name: 1.0 for name in NAMES if "_" in name and name.split("_")[-1] in decode.BACKENDS
        }
        only |= {"int4": 1.0, "fp4": 1.0}
        print("a pure roofline:", told([(row, row.error(only)) for row in bare]))
    if options.write:
        where = decode.FIT
        write(
            where,
            logs,
            rows,
            "selected rows of NVIDIA AIConfigurator's silicon_sample.csv: H100 SXM and B200 SXM",
        )
        print(f"wrote {where}")


if __name__ == "__main__":
    main()

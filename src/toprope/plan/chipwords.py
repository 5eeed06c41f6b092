"""The chip table as lines: every chip in two short tables, one chip with all its sources.

It must not decide anything.
"""

from __future__ import annotations

from collections.abc import Mapping

from toprope.plan.chips import Chip, Quantity
from toprope.plan.lines import columns, prose
from toprope.plan.units import told


def chip_rows(chips: Mapping[str, Chip]) -> list[str]:
    """Return every chip in a line of three tables: what it does, how it is joined, how paid."""
    does = [("chip", "shipped", "BF16 dense", "memory")]
    joined = [("chip", "bandwidth", "link x domain", "power, all-in")]
    paid = [("chip", "process", "rent", "price")]
    for key, chip in chips.items():
        bf16 = chip.peak("bf16") or chip.peak("fp32")
        shipped = chip.released if chip.status == "shipped" else f"({chip.released})"
        process = chip.process if chip.process_nm else "-"
        paid.append((key, process, _range(chip.rent), _range(chip.buy)))
        computes = told(bf16, "FLOP/s") if bf16 else "-"
        does.append((key, shipped, computes, _range(chip.memory)))
        link = f"{_range(chip.link.rate)} x {chip.link.domain}" if chip.link else "-"
        joined.append((key, _range(chip.bandwidth), link, _range(chip.power)))
    last = "Shipped in brackets: announced. `toprope plan chips NAME` tells sources."
    return [*columns(does), "", *columns(joined), "", *columns(paid), "", *prose(last)]


def chip_lines(chip: Chip) -> list[str]:
    """Return one chip: each figure with its range, status, date and source."""
    lines = [f"{chip.name} ({chip.key}): {chip.status} {chip.released}, process {chip.process}"]
    for name, figure in figures(chip).items():
        dated = f", {figure.date}" if figure.date else ""
        lines.append(f"  {name}: {figure}{dated}")
        lines += prose(figure.note, "      ") if figure.note else []
        lines += prose(figure.source, "      ")
    for name in ("link", "scale_out", "rent", "buy"):
        if getattr(chip, name) is None:
            lines.append(f"  {_TOLD.get(name, name)}: nobody tells")
    return lines


_TOLD = {"scale_out": "link between domains", "buy": "price"}


def figures(chip: Chip) -> dict[str, Quantity]:
    """Return a chip's known figures by what they are called."""
    peaks = {f"{name.upper()} dense": peak.rate for name, peak in chip.peaks.items()}
    found: dict[str, Quantity | None] = {
        **peaks,
        "memory": chip.memory,
        "bandwidth": chip.bandwidth,
        f"link, one way, {chip.link.domain if chip.link else 0} chips": (
            chip.link.rate if chip.link else None
        ),
        "link between domains, one way": chip.scale_out.rate if chip.scale_out else None,
        "chip's own power": chip.tdp,
        "power, all-in": chip.power,
        "between interruptions of one chip": chip.failure,
        "rent": chip.rent,
        "price": chip.buy,
        "latency of a layer": chip.layer_latency,
    }
    return {name: figure for name, figure in found.items() if figure is not None}


def _range(figure: Quantity | None) -> str:
    return told(figure.range, figure.dimension) if figure else "-"

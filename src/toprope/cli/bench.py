"""`toprope bench`: measure this machine for a plan, and ways of training against each other."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from toprope.cli import bench_arms

app = typer.Typer(no_args_is_help=True)
app.command("arms")(bench_arms.command)


@app.callback()
def bench() -> None:
    """Measure this machine, or ways of training against each other."""


@app.command("machine")
def bench_machine(
    out: Annotated[
        Path | None, typer.Option(help="Write it as a chip file for `toprope plan --chips`.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda; the faster one if not given.")] = "",
    rounds: Annotated[int, typer.Option(min=1, help="Measurements of each figure.")] = 7,
    seconds: Annotated[float, typer.Option(min=0.01, help="Of each measurement.")] = 0.3,
    watts: Annotated[
        float | None, typer.Option(min=1, help="All-in watts at the wall; not measured.")
    ] = None,
    name: Annotated[str, typer.Option(help="What the chip is called in a plan.")] = "this-machine",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure matrix rate, memory bandwidth and seconds per layer of this machine."""
    from toprope.policy.machine import as_chip_toml, measure

    found = measure(device, rounds=rounds, seconds=seconds, watts=watts)
    text = as_chip_toml(found, name)
    if out is not None:
        partial = out.with_name(out.name + ".partial")
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, out)
    typer.echo(json.dumps(asdict(found), indent=1) if as_json else text.rstrip())
    if out is not None and not as_json:
        typer.echo(f"wrote {out}; use it as `toprope plan run --chips {out} --on {name} ...`")

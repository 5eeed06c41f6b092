"""`toprope bench`: measure this machine for a plan, and ways of training against each other."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from toprope.cli import bench_arms
from toprope.climb.settings import DEFAULT_STUDENT, Student

if TYPE_CHECKING:
    from toprope.climb.comparing.shares import Share
    from toprope.policy.machine import MeasuredMachine

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
    student: Annotated[
        str, typer.Option(help="Whose sampler and learner are held against the machine's limits.")
    ] = DEFAULT_STUDENT,
    machine_only: Annotated[
        bool, typer.Option("--machine-only", help="Leave the student out.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure matrix rate, memory bandwidth and seconds per layer of this machine.

    Then sampler and learner of a student, as shares of the limit that binds each.
    """
    from toprope.policy.machine import as_chip_toml, measure

    found = measure(device, rounds=rounds, seconds=seconds, watts=watts)
    shared = [] if machine_only else _shares(student, found)
    text = as_chip_toml(found, name)
    if out is not None:
        partial = out.with_name(out.name + ".partial")
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, out)
    if as_json:
        told = [{**asdict(one), "binds": one.binds, "share": one.share} for one in shared]
        typer.echo(json.dumps({**asdict(found), "shares": told}, indent=1))
    else:
        typer.echo("\n".join([text.rstrip(), *(f"# {one.told()}" for one in shared)]))
    if out is not None and not as_json:
        typer.echo(f"wrote {out}; use it as `toprope plan run --chips {out} --on {name} ...`")


def _shares(student: str, found: MeasuredMachine) -> list[Share]:
    """Return sampler and learner of a student that is here, as a climb would train it."""
    from toprope.climb.comparing.shares import open_bench, shares
    from toprope.policy.load import resolve

    folder = resolve(student, may_fetch=False)
    usual = Student()
    return shares(open_bench(folder, found, dtype=usual.dtype, lora_rank=usual.lora_rank))

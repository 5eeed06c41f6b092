"""`toprope plan`: what work takes on which chips, before anything is rented."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from toprope.cli.plan_asked import asked_workload, written
from toprope.cli.plan_validate import validate_planner
from toprope.plan import chipwords, equalwords, lists, words
from toprope.plan.answers import as_data, chip_data
from toprope.plan.chipfile import load_chips
from toprope.plan.chips import find_chip
from toprope.plan.claims import claims
from toprope.plan.climbrun import compare, read_run
from toprope.plan.equal import equal, flops_only
from toprope.plan.estimate import estimate
from toprope.plan.fit import fitted
from toprope.plan.lines import columns
from toprope.plan.machine import common_precision
from toprope.plan.money import tariff
from toprope.plan.page import claims_page, equal_page
from toprope.plan.pool import read_pool
from toprope.plan.shapes import find_shape
from toprope.plan.units import told

app = typer.Typer(no_args_is_help=True)
app.command("validate")(validate_planner)

Extra = Annotated[
    list[Path] | None, typer.Option("--chips", help="A TOML file of chips of your own; repeatable.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Html = Annotated[Path | None, typer.Option("--html", help="Write a page with pictures here.")]
Region = Annotated[
    str, typer.Option(help="Electricity: us, china, china-subsidised, world, or $ per kWh.")
]
FIRST = "rl"  # what toprope is for
Named = Annotated[
    str, typer.Option("--workload", "-w", help="A preset, a TOML file, or a finished run's folder.")
]
Model = Annotated[
    str, typer.Option(help="Another model's shape; `toprope plan models` lists them.")
]
Changes = Annotated[
    list[str] | None,
    typer.Option("--set", help="Change a field of the workload, as episodes=1024; repeatable."),
]


@app.command("equal")
def equal_chips(
    fast: Annotated[str, typer.Option(help="The pool to match, as '8 x H100'.")],
    slow: Annotated[str, typer.Option(help="The chip to match it with.")],
    workload: Named = FIRST,
    model: Model = "",
    change: Changes = None,
    region: Region = "us",
    flops: Annotated[
        bool, typer.Option("--flops-only", help="Compare dense FLOP/s and nothing else.")
    ] = False,
    chips: Extra = None,
    html: Html = None,
    as_json: AsJson = False,
) -> None:
    """Say how many of one chip do the work of another, per phase, and what binds."""
    known = load_chips(chips or ())
    pool, other = read_pool(fast, known), find_chip(slow, known)
    if flops:
        both = common_precision(pool.chip, other, "bf16")
        plain = flops_only(pool, other, both)
        text = f"{told(plain, '1')} {other.name} have the dense {both.upper()} FLOP/s of {pool}"
        _print(plain, [text], as_json)
        return
    per_kwh = tariff(region)
    found = equal(pool, other, asked_workload(workload, model, change), per_kwh)
    if html is not None:
        written(html, equal_page(found, per_kwh))
    _print(found, equalwords.equal_lines(found, per_kwh), as_json)


@app.command("fit")
def fit_model(
    on: Annotated[str, typer.Option(help="A pool, as '8 x H100'.")],
    workload: Named = FIRST,
    model: Model = "",
    change: Changes = None,
    chips: Extra = None,
    as_json: AsJson = False,
) -> None:
    """Say whether a model fits, for training and for sampling, and with what margin."""
    work = asked_workload(workload, model, change)
    found = fitted(work, read_pool(on, load_chips(chips or ())))
    _print(found, words.fit_lines(found), as_json)


@app.command("run")
def run_work(
    on: Annotated[str, typer.Option(help="A pool, as '64 x H100'.")],
    workload: Named = FIRST,
    model: Model = "",
    change: Changes = None,
    region: Region = "us",
    chips: Extra = None,
    as_json: AsJson = False,
) -> None:
    """Say what a workload takes on a pool: time, energy, money, and where the time goes."""
    pool = read_pool(on, load_chips(chips or ()))
    found = estimate(asked_workload(workload, model, change), pool, tariff(region))
    _print(found, words.run_lines(found), as_json)


@app.command("claims")
def weigh_claims(
    names: Annotated[list[str] | None, typer.Argument(help="Only these; all if none.")] = None,
    region: Region = "us",
    chips: Extra = None,
    html: Html = None,
    as_json: AsJson = False,
) -> None:
    """Weigh what people say about chips with the numbers that hold it up or break it."""
    found = claims(load_chips(chips or ()), tariff(region), tuple(names or ()))
    if html is not None:
        written(html, claims_page(found))
    data = [{**as_data(claim), "verdict": claim.verdict} for claim in found]
    _print(data, words.claim_lines(found), as_json)


@app.command("meters")
def check_meters(
    run: Annotated[Path, typer.Argument(help="A finished run's folder.")],
    on: Annotated[str, typer.Option(help="The machine it ran on, from a --chips file.")] = "",
    model: Model = "",
    chips: Extra = None,
    as_json: AsJson = False,
) -> None:
    """Lay a climb's meters beside what the planner says of it, phase by phase."""
    pool = read_pool(on, load_chips(chips or ())) if on else None
    found = compare(read_run(run, model), pool)
    _print(found, words.meter_lines(found), as_json)


@app.command("chips")
def list_chips(
    name: Annotated[str, typer.Argument(help="One chip, with every source.")] = "",
    chips: Extra = None,
    as_json: AsJson = False,
) -> None:
    """List the chips with their figures, or tell one chip's with their sources."""
    known = load_chips(chips or ())
    chip = find_chip(name, known) if name else None
    lines = chipwords.chip_lines(chip) if chip else chipwords.chip_rows(known)
    data = chip_data(chip) if chip else {key: chip_data(one) for key, one in known.items()}
    _print(data, lines, as_json)


@app.command("models")
def list_models(
    name: Annotated[str, typer.Argument(help="One model, with all its sizes.")] = "",
    as_json: AsJson = False,
) -> None:
    """List the model shapes and where each was published, or tell one's sizes."""
    if name:
        shape = find_shape(name)
        _print(asdict(shape), lists.model_lines(shape), as_json)
        return
    rows = lists.model_rows()
    _print(lists.as_dicts(rows), lists.model_list(rows), as_json)


@app.command("workloads")
def list_workloads(as_json: AsJson = False) -> None:
    """List the workloads that have a name, to start from."""
    rows = lists.workload_rows()
    _print(lists.as_dicts(rows), columns(rows), as_json)


def _print(found: Any, lines: list[str], as_json: bool) -> None:
    typer.echo(json.dumps(as_data(found), indent=1) if as_json else "\n".join(lines))

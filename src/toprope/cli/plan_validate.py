"""`toprope plan validate`: the planner beside what others published and measured."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from toprope.plan.chipfile import load_chips
from toprope.plan.measured import read_rows, summary
from toprope.plan.validate import validate
from toprope.plan.validatewords import decode_lines, validation_lines


def validate_planner(
    decode_csv: Annotated[
        Path | None,
        typer.Option(help="Measured decode latencies: a CSV as AIConfigurator's silicon samples."),
    ] = None,
    chips: Annotated[
        list[Path] | None,
        typer.Option("--chips", help="A TOML file of chips of your own; repeatable."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Lay predictions beside published runs, or beside measured decode latencies."""
    known = load_chips(chips or ())
    if decode_csv is not None:
        rows, skipped = read_rows(decode_csv, known)
        errors = summary(rows, skipped)
        typer.echo(json.dumps(errors, indent=1) if as_json else "\n".join(decode_lines(errors)))
        return
    found = validate(known)
    lines = "\n".join(validation_lines(found))
    typer.echo(json.dumps(asdict(found), indent=1) if as_json else lines)

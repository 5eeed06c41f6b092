"""`toprope ladder`: what each rung of a run cost and freed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from toprope.cli.terminal import echo
from toprope.report.ladder import rung_rows, rung_table


def command(
    run: Annotated[Path, typer.Argument(help="The run's folder.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print per rung: tasks helped and thawed, tokens, time, plain pass rate before and after."""
    rows = rung_rows(run)
    if as_json:
        typer.echo(json.dumps(rows, indent=1))
    else:
        echo(rung_table(rows))

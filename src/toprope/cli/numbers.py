"""`toprope numbers`: what a run's results cost it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from toprope.cli.terminal import echo
from toprope.report.economics import numbers_table, run_numbers


def command(
    run: Annotated[Path, typer.Argument(help="The run's folder.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print what thaws, points and solved tasks cost; definitions are in bench/README.md."""
    rows = run_numbers(run)
    if as_json:
        typer.echo(json.dumps(rows, indent=1))
    else:
        echo(numbers_table(rows))

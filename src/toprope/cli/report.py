"""`toprope report`: write a run's page again, or say its closing words."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from toprope.ledger.summary import recompute
from toprope.report.page import write_report
from toprope.report.words import as_text, closing


def command(
    run: Annotated[Path, typer.Argument(help="The run's folder.")],
    words: Annotated[
        bool, typer.Option("--words", help="Print what the run showed and what it did not.")
    ] = False,
) -> None:
    """Write a run's self-contained page, also while the run goes on."""
    if words:
        typer.echo(as_text(closing(recompute(run))))
        return
    typer.echo(write_report(run))

"""`toprope why`: a task's state, its evidence, its last help and what comes next."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from toprope.cli.terminal import echo
from toprope.climb.why import why


def command(
    task: Annotated[str, typer.Argument(help="A task's id.")],
    run: Annotated[Path, typer.Option(help="The run's folder.")] = Path("runs/climb"),
) -> None:
    """Say in a sentence: state, evidence, last help, next action."""
    echo(why(run, task))

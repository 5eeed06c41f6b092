"""`toprope show`: the story of one task or one episode of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from toprope.cli.terminal import echo
from toprope.report.story import story


def command(
    name: Annotated[str, typer.Argument(help="A task's id, or an episode's.")],
    run: Annotated[Path, typer.Option(help="The run's folder.")] = Path("runs/climb"),
) -> None:
    """Tell a task's story (attempts, help, first success, cost), or an episode's."""
    echo(story(run, name))

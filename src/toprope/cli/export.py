"""`toprope export`: a run's checkpoint as a Hugging Face folder with its model card."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    run: Annotated[Path, typer.Argument(help="The run's folder.")],
    out: Annotated[Path, typer.Argument(help="A new folder.")],
    checkpoint: Annotated[str, typer.Option(help="last, best (on dev), or step-NNNNNN.")] = "last",
) -> None:
    """Write a checkpoint as an ordinary Hugging Face folder.

    The harness prompt, the limits and a model card with the run's numbers lie beside it.
    """
    from toprope.climb.export import export_run

    exported = export_run(run, out, checkpoint)
    typer.echo(f"{out} holds {exported.checkpoint}; read back, its logits differ by ", nl=False)
    typer.echo(f"{exported.difference:.2g} at most")

"""Printing what others wrote: attempts, tasks, models. It decides nothing but how it is shown."""

from __future__ import annotations

import sys

import typer

from toprope.report.plain import plain


def echo(text: str, err: bool = False) -> None:
    """Print a line or more, with whatever a terminal would obey written out."""
    typer.echo(plain(text), err=err)


def pass_on(output: bytes) -> None:
    """Print a command's output: as it is into a pipe or a file, made plain on a terminal."""
    if sys.stdout.isatty():
        typer.echo(plain(output.decode("utf-8", "replace")), nl=False)
        return
    sys.stdout.flush()
    typer.echo(output, nl=False)

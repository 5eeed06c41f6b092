"""Asks for a yes before a teacher is paid; it does not know what is bought."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer

from toprope.cli import terminal


def agree(told: Sequence[str], yes: bool) -> None:
    """Show what a teacher may cost, and ask; nothing told asks nobody.

    Raises NotConfirmed where nobody can be asked, and `typer.Abort` after a no.
    """
    from toprope.climb.help.spending import refuse_unasked

    for line in told:
        terminal.echo(line)
    if not told or yes:
        return
    if not sys.stdin.isatty():
        raise refuse_unasked()
    typer.confirm("Ask this teacher?", abort=True)

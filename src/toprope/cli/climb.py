"""`toprope climb`: run the loop in a folder, watched live, ending in words and a report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from toprope.cli import terminal
from toprope.cli.consent import agree


def command(
    recipe: Annotated[
        str, typer.Argument(help="A shipped recipe (default, long, small) or a .toml file.")
    ] = "default",
    run: Annotated[
        Path | None, typer.Option(help="The run's folder. The same command resumes it.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Override a setting, e.g. --set climbing.group=4."),
    ] = None,
    teacher: Annotated[
        str | None, typer.Option(help="none, recorded, reference, openai, llama or form.")
    ] = None,
    flops_of: Annotated[
        Path | None,
        typer.Option(help="Stop when as many student FLOPs are spent as in this run, not sooner."),
    ] = None,
    count_teacher: Annotated[
        bool, typer.Option("--count-teacher", help="--flops-of with its teacher's FLOPs added.")
    ] = False,
    unsafe_local: Annotated[
        bool,
        typer.Option(
            "--unsafe-local", help="Run model-written code without isolation. Marks the report."
        ),
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Agree to what a teacher may cost, without being asked.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Print the settings, resolved, and stop.")
    ] = False,
) -> None:
    """Measure what the student cannot do, seed it from the teacher, and climb.

    A killed or interrupted run goes on with the same command.
    """
    from toprope.climb.config import load_config, to_toml

    overrides = list(settings or [])
    if teacher is not None:
        overrides.append(f'teacher.kind="{teacher}"')
    if teacher == "none":
        overrides.append("seeding.demonstrations=0")
    if flops_of is not None:
        overrides += _as_much_as(flops_of, count_teacher)
    config = load_config(recipe, overrides)
    if check:
        typer.echo(to_toml(config))
        return
    folder = run or Path("runs") / Path(recipe).stem
    from toprope.climb.help.spending import before_spending

    agree(before_spending(config, folder), yes)
    from toprope.cli.view import ClimbView
    from toprope.climb.run import climb
    from toprope.report.page import write_report
    from toprope.report.words import as_text, closing, unsafe

    with ClimbView(folder) as view:
        summary = climb(config, folder, watch=view.show, unsafe_local=unsafe_local, say=_say)
    page = write_report(folder)
    typer.echo(f"\n{as_text(closing(summary))}")
    if (why := unsafe(summary)) is not None:
        typer.secho(f"\nunsafe: {why}", fg=typer.colors.RED, err=True)
    typer.echo(f"\nreport: {page}\nsummary: {folder / 'summary.json'}")


def _say(text: str) -> None:
    terminal.echo(text, err=True)


def _as_much_as(run: Path, count_teacher: bool) -> list[str]:
    """Return the settings that stop a run at another one's FLOPs instead of at a time."""
    from toprope.climb.pastrun import PastRun

    flops = PastRun.open(run).flops(with_teacher=count_teacher)
    return ["limits.minutes=0", f"limits.flops={flops:.6e}"]

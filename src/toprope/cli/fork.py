"""`toprope fork`: whether a forced teacher would still bring a run anything."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from toprope.cli.consent import agree
from toprope.cli.terminal import echo
from toprope.climb.status import Status, Watch


def command(
    run: Annotated[Path, typer.Argument(help="The folder of a run that ended or was stopped.")],
    out: Annotated[
        Path | None, typer.Option(help="The folder of the two branches; RUN/fork if not given.")
    ] = None,
    flops: Annotated[
        float | None,
        typer.Option(
            help="Student FLOPs of each branch; what RUN spent in its last three windows "
            "if not given."
        ),
    ] = None,
    unsafe_local: Annotated[
        bool,
        typer.Option(
            "--unsafe-local", help="Run model-written code without isolation. Marks the report."
        ),
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Agree to what a teacher may cost, without being asked.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Go on from RUN's newest checkpoint twice at equal student FLOPs, and compare held-out.

    Once without a teacher, once with the teacher forced to spend its earlier share on the live
    tasks that are solved least. A killed or interrupted fork goes on with the same command.
    """
    from toprope.climb.forks.fork import WITH, open_fork, run_fork
    from toprope.climb.help.spending import before_spending
    from toprope.report.page import write_report

    fork = open_fork(run, out, flops=flops)
    agree(before_spending(fork.config(WITH), fork.out / WITH), yes)
    result = run_fork(fork, _watched, unsafe_local=unsafe_local, say=_say)
    write_report(run)
    _tell(result, as_json)


def _tell(result: dict[str, Any], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(result, indent=1))
        return
    for branch in ("without", "with"):
        told = result[branch]
        share = "none" if told["teacher_share"] is None else f"{told['teacher_share']:.1%}"
        echo(f"{branch} the teacher: {told['flops']:.3g} student FLOPs, teacher's share {share}")
    echo(result["why"])


def _say(text: str) -> None:
    echo(text, err=True)


def _watched(branch: str) -> Watch:
    def watch(status: Status) -> None:
        if status.doing == "committed":
            rate = "" if status.train_rate is None else f", train {status.train_rate:.0%}"
            echo(f"{branch} the teacher: iteration {status.iteration}{rate}", err=True)

    return watch

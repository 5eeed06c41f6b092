"""The `toprope` command: gathers the verbs, runs the one that is called, maps errors to codes.

A verb lives in `cli/VERB.py` and exposes either `command`, a function, or `app`, a Typer
with verbs of its own. Only the called verb's file is imported, so `toprope --help` needs
no torch. Exit codes: `docs/exit-codes.md`.
"""

from __future__ import annotations

import errno
import signal
import sys
import traceback
from importlib import import_module
from importlib.util import find_spec
from types import FrameType
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import toprope
from toprope.report.plain import plain
from toprope.terms import TopropeError

OK, FAILED, USAGE, INTERRUPTED, INTERNAL = range(5)

VERBS = {
    "bench": "Measure this machine, or ways of training against each other.",
    "climb": "Run the loop: measure, seed, reinforce, report.",
    "doctor": "Say what this machine can do, and the fix for what it cannot.",
    "eval": "Compare checkpoints and endpoints on a taskset.",
    "export": "Write a checkpoint as a Hugging Face folder with a model card.",
    "fork": "Go on from a run's checkpoint twice, with a forced teacher and without.",
    "ladder": "Say what each rung of a run cost and freed.",
    "models": "List, fetch and verify models.",
    "numbers": "Say what thaws, points and solved tasks cost a run.",
    "plan": "Say what work takes on which chips: counts, time, energy, money.",
    "report": "Write a run's report page.",
    "sampler": "Serve a student with vLLM; test a server before a climb rests on it.",
    "sandbox": "Run a command behind the walls; say which walls stand.",
    "show": "Tell the story of a task or an episode.",
    "solve": "Put a model to work on a repository with a failing test.",
    "tasks": "Make, convert, check, show and grade tasks.",
    "teacher": "Try, serve, sample, record and verify a teacher; its cache.",
    "why": "Say in a sentence why a task of a run stands where it does.",
}

KEEPS = {
    "bench": "finished runs are kept, run the same command to go on",
    "climb": "what was done is kept, run the same command to go on",
    "fork": "what was done is kept, run the same command to go on",
    "tasks": "what a make has found is kept, run the same command to go on",
    "teacher": "what was recorded is kept, run the same command to record the rest",
}
KEEPS_NOTHING = "nothing of it is kept, run the same command to begin again"


class _Root(TyperGroup):
    """Lets Ctrl-C through to our own exit code; Typer would take 130 or 1 for it."""

    def invoke(self, ctx: Any) -> Any:
        """Run the called verb."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            _say(f"interrupted; {KEEPS.get(ctx.invoked_subcommand or '', KEEPS_NOTHING)}")
            sys.exit(INTERRUPTED)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with one of the documented codes."""
    arguments = sys.argv[1:] if arguments is None else arguments
    signal.signal(signal.SIGTERM, _interrupt)
    called = next((word for word in arguments if not word.startswith("-")), None)
    try:
        typer.main.get_command(build_app(called)).main(args=arguments, prog_name="toprope")
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except TopropeError as error:
        _say(f"error: {error}")
        sys.exit(FAILED)
    except Exception as error:
        sys.exit(_unexpected(error))


def build_app(called: str | None) -> typer.Typer:
    """The Typer app in which only the called verb is real; the others are names for the help."""
    app = typer.Typer(
        cls=_Root,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    app.callback(help="Train a coding agent where it has no successful attempt yet.")(_options)
    for verb, summary in VERBS.items():
        if find_spec(f"toprope.cli.{verb}") is None:
            continue
        if verb != called:
            app.command(verb, help=summary)(_unused)
            continue
        module = import_module(f"toprope.cli.{verb}")
        if hasattr(module, "app"):
            app.add_typer(module.app, name=verb, help=summary)
        else:
            app.command(verb)(module.command)
    return app


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"toprope {toprope.__version__}")
        raise typer.Exit(OK)


def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Stand before the verb."""


def _unused() -> None:
    raise AssertionError("the called verb is always mounted for real")


def _interrupt(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _unexpected(error: Exception) -> int:
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        _say(
            f"error: the disk is full ({error.filename or 'no file named'}); "
            "free some space and run the same command to go on"
        )
        return FAILED
    traceback.print_exception(error)
    _say(
        "internal error: this is a fault of toprope, not of yours. "
        "Please report the lines above together with the output of `toprope doctor --json`"
    )
    return INTERNAL


def _say(message: str) -> None:
    typer.secho(plain(message), fg=typer.colors.RED, err=True)


if __name__ == "__main__":
    main()

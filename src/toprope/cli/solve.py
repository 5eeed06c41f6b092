"""`toprope solve`: put a model to work on a repository with a failing test."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from toprope.cli.solved import as_json_text, print_ended, print_proposal
from toprope.cli.terminal import echo
from toprope.report.plain import plain

if TYPE_CHECKING:
    from toprope.solve import Asked, Ended
    from toprope.solve.attempts import Proposal
    from toprope.terms import Verdict

CACHE = Path(os.environ.get("TOPROPE_CACHE", Path.home() / ".cache" / "toprope")) / "forge"
NOTHING_FAILS, UNSOLVED = 5, 6


def command(
    path: Annotated[Path, typer.Argument(help="A repository: a folder or a git checkout.")],
    test: Annotated[
        list[str] | None,
        typer.Option(help="A failing test to mend, or its file, class or function. Repeatable."),
    ] = None,
    tests: Annotated[
        list[str] | None, typer.Option(help="What pytest runs; else what it finds itself.")
    ] = None,
    model: Annotated[
        str, typer.Option(help="A run, a checkpoint, an exported folder, or a model's name.")
    ] = "",
    endpoint: Annotated[str, typer.Option(help="URL of an OpenAI-compatible server.")] = "",
    model_name: Annotated[
        str, typer.Option("--model-name", help="Which model of the endpoint; else its first.")
    ] = "",
    dialect: Annotated[
        str,
        typer.Option(
            help="lines, rewrite (one answer); lines, blocks, bash (an endpoint's turns)."
        ),
    ] = "",
    python: Annotated[
        str, typer.Option(help="An interpreter with the dependencies and pytest.")
    ] = "",
    setup: Annotated[
        str, typer.Option(help="A command that makes .venv in a copy of the repository.")
    ] = "",
    attempts: Annotated[
        int, typer.Option(min=0, help="At most so many; 0: 64 answers, or 4 over turns.")
    ] = 0,
    turns: Annotated[int, typer.Option(min=1, help="Of an attempt at most.")] = 12,
    seconds: Annotated[float, typer.Option(min=1, help="Of all attempts at most.")] = 900.0,
    tokens: Annotated[int, typer.Option(min=1, help="Sampled in all at most.")] = 40_000,
    temperature: Annotated[
        float | None, typer.Option(min=0, help="Else 1 for answers and 0.7 over turns.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of all draws.")] = 0,
    suite_timeout: Annotated[
        float, typer.Option(help="Processor seconds that all tests may take.")
    ] = 600.0,
    out: Annotated[Path | None, typer.Option(help="Write the verified patch here.")] = None,
    apply: Annotated[
        bool, typer.Option("--apply", help="Write the verified change into the repository.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Apply although git could not take it back.")
    ] = False,
    allow_secret: Annotated[
        list[str] | None, typer.Option(help="A file that only looks as if it held secrets.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Sandboxes at once.")] = 2,
    unsafe_local: Annotated[
        bool, typer.Option("--unsafe-local", help="Run model-written code without isolation.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Put a model to work on a repository with a failing test.

    It works on a copy in the sandbox. A change counts when the failing tests and every test
    that passed before pass with it, as they stand in the repository. Nothing is written
    without --out or --apply.
    """
    from toprope.solve import SOLVED, Asked, Limits, NothingFails, refuse_dirty, write_patch
    from toprope.solve import apply as write_into

    asked = Asked(
        folder=path,
        test=tuple(test or ()),
        suite=tuple(tests or ()),
        python=python,
        setup=setup,
        model=model,
        endpoint=endpoint,
        model_name=model_name,
        dialect=dialect,
        limits=Limits(attempts, tokens, seconds, turns),
        suite_timeout_s=suite_timeout,
        temperature=temperature,
        seed=seed,
        jobs=jobs,
        allow_secrets=tuple(allow_secret or ()),
        unsafe_local=unsafe_local,
    )
    if apply and not force:
        refuse_dirty(path)
    try:
        ended = _with_line(asked)
    except NothingFails as nothing:
        echo(str(nothing), err=True)
        raise typer.Exit(NOTHING_FAILS) from None
    _print(ended, as_json)
    if ended.end != SOLVED:
        raise typer.Exit(UNSOLVED)
    if out:
        write_patch(path, ended.start, ended.changes, out)
        echo(f"written: {out}; `git apply {out.resolve()}` in the repository takes it", err=True)
    if apply:
        write_into(path, ended.start, ended.changes)
        echo(f"applied to {', '.join(ended.changes)}", err=True)


def _print(ended: Ended, as_json: bool) -> None:
    if as_json:
        typer.echo(as_json_text(ended))
    else:
        print_ended(ended)
    if not ended.isolated:
        typer.secho("unsafe: model-written code ran without isolation", fg="red", err=True)


def _with_line(asked: Asked) -> Ended:
    """Solve, with a line on standard error that says what is going on."""
    from toprope.solve import solve

    console = Console(stderr=True)
    with console.status("opening") as line:

        def tell(what: str) -> None:
            if not console.is_terminal:
                echo(f"  {what}", err=True)
            line.update(plain(what).replace("[", r"\["))

        def seen(proposal: Proposal, verdict: Verdict) -> None:
            print_proposal(proposal, verdict)

        return solve(asked, CACHE, lambda words: echo(words, err=True), tell, seen)

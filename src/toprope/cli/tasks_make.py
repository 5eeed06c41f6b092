"""`toprope tasks make`: a repository's own tests and a handful of bugs become a taskset."""

from __future__ import annotations

import os
import shlex
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from toprope.cli.tasks_made import summary
from toprope.cli.terminal import echo
from toprope.forge.repository import Made, Options, make
from toprope.forge.repository.dealing import By
from toprope.forge.repository.trial import MOST_TESTS
from toprope.report.plain import plain


class Kind(StrEnum):
    """Where bugs come from."""

    INJECTED = "injected"
    COMMITS = "commits"


CACHE = Path(os.environ.get("TOPROPE_CACHE", Path.home() / ".cache" / "toprope")) / "forge"


def make_tasks(
    source: Annotated[
        str, typer.Argument(help="A folder, a git checkout, or NAME==VERSION of a package.")
    ],
    out: Annotated[Path, typer.Option("--out", help="The taskset's file.")] = Path("tasks.jsonl"),
    python: Annotated[
        str,
        typer.Option(
            help="An interpreter with the dependencies and pytest; with --image, one in it. "
            "Without --python, --setup and --image: .venv in SOURCE."
        ),
    ] = "",
    setup: Annotated[
        str, typer.Option(help="A command that makes .venv in a copy of the repository.")
    ] = "",
    image: Annotated[
        str, typer.Option(help="A container image with the dependencies and pytest, to run in.")
    ] = "",
    root: Annotated[str, typer.Option(help="The part of a monorepo that counts.")] = "",
    tests: Annotated[
        list[str] | None, typer.Option(help="What pytest runs; else what it finds itself.")
    ] = None,
    pytest_args: Annotated[
        str, typer.Option(help="Arguments for pytest, in place of the repository's addopts.")
    ] = "",
    suite_timeout: Annotated[
        float, typer.Option(help="Processor seconds that all tests may take.")
    ] = 600.0,
    limit: Annotated[int, typer.Option(min=1, help="Stop after so many tasks.")] = 500,
    pairs: Annotated[
        float, typer.Option(min=0, max=1, help="The share of tasks with two bugs.")
    ] = 0.1,
    impossible: Annotated[
        int | None, typer.Option(min=0, help="Baits that nobody can solve; else 1 %, at least 2.")
    ] = None,
    pass_to_pass: Annotated[
        str, typer.Option(help="How many tests are required of a bug's fix at most, or all.")
    ] = str(MOST_TESTS),
    kind: Annotated[
        Kind, typer.Option("--from", help="Bugs put in, or the repository's own commits.")
    ] = Kind.INJECTED,
    split: Annotated[
        By | None, typer.Option(help="What no two splits may share; commits: date.")
    ] = None,
    seed: Annotated[str, typer.Option(help="Another seed, other bugs.")] = "0",
    jobs: Annotated[int, typer.Option(min=1, help="Bugs tried at once.")] = os.cpu_count() or 1,
    preview: Annotated[int, typer.Option(help="Only show so many tasks; keep nothing.")] = 0,
    allow_secret: Annotated[
        list[str] | None, typer.Option(help="A file that only looks as if it held secrets.")
    ] = None,
) -> None:
    """Turn a tested repository into proven bug-fix tasks, in its own environment.

    Bugs are put into functions that its tests call; or, with --from commits, commits that
    changed code and tests are taken back. One is kept if tests that passed turn red with it
    and green again with its fix, three times. A make that is stopped goes on where it was
    when the same command is run again.
    """
    options = Options(
        root=root,
        python=python,
        setup=setup,
        image=image,
        tests=tuple(tests or ()),
        pytest_args=tuple(shlex.split(pytest_args)),
        suite_timeout_s=suite_timeout,
        limit=preview or limit,
        pairs=0.0 if preview else pairs,
        commits=kind is Kind.COMMITS,
        by=split or (By.DATE if kind is Kind.COMMITS else By.FUNCTION),
        seed=seed,
        jobs=jobs,
        most_tests=_most_tests(pass_to_pass),
        impossible=0 if preview else impossible,
        allow_secrets=tuple(allow_secret or ()),
    )
    started = time.monotonic()
    target = out.with_name(f"{out.name}.preview") if preview else out
    made = _with_bar(source, target, options)
    if preview:
        _show(made)
        target.unlink()
        return
    for line in summary(made, out, time.monotonic() - started):
        echo(line)


def _most_tests(word: str) -> int:
    if word == "all":
        return 0
    if word.isdecimal() and int(word) > 0:
        return int(word)
    raise typer.BadParameter("give a number of tests, or all", param_hint="--pass-to-pass")


def _with_bar(source: str, out: Path, options: Options) -> Made:
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        line = bar.add_task("opening", total=1)

        def tell(what: str, done: int, wanted: int) -> None:
            bar.update(line, description=what, completed=done, total=wanted)

        return make(source, out, options, CACHE, tell)


def _show(made: Made) -> None:
    for task in made.taskset.tasks:
        typer.secho(f"\n{plain(task.id)}", bold=True)
        echo(task.statement)

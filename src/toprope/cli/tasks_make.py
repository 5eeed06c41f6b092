"""`toprope tasks make`: a repository's own tests and a handful of bugs become a taskset."""

from __future__ import annotations

import os
import time
from collections import Counter
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from toprope.cli.terminal import echo
from toprope.forge.repository import Made, Options, make
from toprope.forge.repository.dealing import By
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
            help="An interpreter with the dependencies and pytest; with --image, one in it."
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
        pytest_args=tuple(pytest_args.split()),
        suite_timeout_s=suite_timeout,
        limit=preview or limit,
        pairs=0.0 if preview else pairs,
        commits=kind is Kind.COMMITS,
        by=split or (By.DATE if kind is Kind.COMMITS else By.FUNCTION),
        seed=seed,
        jobs=jobs,
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


def summary(made: Made, out: Path, seconds: float) -> list[str]:
    """What a make gave, and what it did not, in lines."""
    tasks = made.taskset.tasks
    ended = ", ".join(f"{count} {word}" for word, count in made.baseline.counts.most_common())
    words = ", ".join(f"{count} {word}" for word, count in made.words.most_common())
    operators = Counter(task.source.operator for task in tasks if "+" not in task.source.operator)
    splits = Counter(f"{t.split} ({t.tier})" if t.tier else str(t.split) for t in tasks)
    lines = [
        f"{made.repository.name} {made.repository.version[:12]}: "
        f"{len(made.repository.tree.files)} files, Python {made.surroundings.version}",
        f"tests, run three times: {ended}",
        f"bugs tried: {words}; {made.untried} more candidates",
        f"{len(tasks)} tasks in {len({t.source.cluster for t in tasks})} functions: "
        + ", ".join(f"{count} {split}" for split, count in splits.items()),
        "operators: " + ", ".join(f"{name} {count}" for name, count in operators.most_common()),
        f"{len(tasks) * 3600 / max(seconds, 1):.0f} tasks an hour",
        f"{out} {made.taskset.hash[:12]}; environment in {out.with_name('environment.toml')}",
    ]
    if made.baseline.bad:
        shown = [f"{name}: {word}" for name, word in list(made.baseline.bad.items())[:5]]
        lines.insert(2, "left out: " + "; ".join(shown))
    if not made.repository.licence:
        lines.append("no licence was found in the repository: mind whom you give the tasks to")
    return lines

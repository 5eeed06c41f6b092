"""`toprope tasks`: what a taskset holds, whether its tasks are sound, and its other forms."""

from __future__ import annotations

import inspect
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from toprope.cli.tasks_check import check_tasks
from toprope.cli.tasks_grade import grade_attempt, show_task
from toprope.cli.tasks_make import make_tasks
from toprope.cli.terminal import echo
from toprope.grading import runner
from toprope.sandbox import lacking
from toprope.tasks import (
    Foreign,
    Form,
    TaskFormatError,
    divided,
    load_any,
    load_environments,
    save_as,
    told,
)
from toprope.terms import Split, Task, Tier

app = typer.Typer(no_args_is_help=True)
app.command("make")(make_tasks)
app.command("check")(check_tasks)
app.command("show")(show_task)
app.command("grade")(grade_attempt)

_FORMS = "a packed or SWE-bench .jsonl(.xz) file, a Harbor folder or a folder of such, or 'default'"
Name = Annotated[str, typer.Argument(help=f"A taskset: {_FORMS}.")]
OfSplit = Annotated[Split | None, typer.Option("--split", help="Only this split.")]
OfTier = Annotated[Tier | None, typer.Option("--tier", help="Only this tier of held-out.")]


@app.command("list")
def list_tasks(
    taskset: Name = "default",
    split: OfSplit = None,
    tier: OfTier = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the tasks: id, split, tier, and where each comes from; counts at the end."""
    loaded = load_any(taskset)
    name, digest = loaded.taskset.name, loaded.taskset.hash
    tasks = loaded.taskset.chosen(split, tier)
    here, absent = divided(loaded.tasks, load_environments(taskset), lacking)
    foreign = [*loaded.foreign, *absent]
    rows = [_row(task) for task in tasks]
    if as_json:
        whole = {"name": name, "hash": digest, "tasks": rows}
        if foreign:
            whole["foreign"] = [{"id": task.id, "needs": task.needs} for task in foreign]
        typer.echo(json.dumps(whole, indent=1))
        return
    for row in rows:
        echo("\t".join(str(value or "-") for value in row.values()))
    _tell_foreign(foreign)
    typer.echo(f"\n{name} {digest[:12]}: {_counts(tasks)}", err=True)
    if foreign:
        typer.echo(told(len(here), foreign), err=True)


@app.command("convert")
def convert_tasks(
    source: Annotated[str, typer.Argument(help=f"A taskset: {_FORMS}.")],
    target: Annotated[Path, typer.Argument(help="A file, or for harbor a folder.")],
    to: Annotated[Form, typer.Option("--to", help="The form to write.")],
    smith: Annotated[
        bool, typer.Option(help="The rows are SWE-smith's: patch is the bug.")
    ] = False,
    force: Annotated[bool, typer.Option(help="Replace what is at the target.")] = False,
) -> None:
    """Write a taskset in another form; tasks that need a container are counted, not written."""
    loaded = load_any(source, smith=smith)
    summary = told(len(loaded.tasks), loaded.foreign)
    if not loaded.tasks:
        raise TaskFormatError(f"{source}: nothing to write; {summary}")
    save_as(loaded.tasks, target, to, runner=inspect.getsource(runner), force=force)
    typer.echo(summary)
    typer.echo(f"wrote {len(loaded.tasks)} tasks to {target}")


def _tell_foreign(foreign: Sequence[Foreign]) -> None:
    for task in foreign:
        echo(f"{task.id}\tneeds a container: {task.needs}")


def _row(task: Task) -> dict[str, str | int | None]:
    source = task.source
    return {
        "id": task.id,
        "split": "impossible" if task.impossible else task.split.value,
        "tier": task.tier.value if task.tier and not task.impossible else None,
        "package": f"{source.package} {source.version}",
        "function": f"{source.path}:{source.line} {source.function}",
        "licence": source.licence,
        "operator": source.operator,
    }


def _counts(tasks: Sequence[Task]) -> str:
    kinds = Counter(
        "impossible" if t.impossible else f"{t.split} ({t.tier})" if t.tier else str(t.split)
        for t in tasks
    )
    told = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
    packages = len({task.source.package for task in tasks})
    functions = len({task.source.cluster for task in tasks})
    return f"{told or 'no tasks'}; {functions} functions of {packages} packages"

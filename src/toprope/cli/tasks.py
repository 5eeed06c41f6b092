"""`toprope tasks`: what a taskset holds, whether its tasks are sound, and its other forms."""

from __future__ import annotations

import inspect
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from toprope.cli.tasks_grade import grade_attempt, show_task
from toprope.cli.tasks_make import make_tasks
from toprope.cli.terminal import echo
from toprope.grading import Proof, prove_many, runner
from toprope.sandbox import lacking, open_sandbox
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
from toprope.terms import PLAIN, InfraError, Split, Task, Tier

app = typer.Typer(no_args_is_help=True)
app.command("make")(make_tasks)
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
    tasks = _chosen(loaded.tasks, split, tier)
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


@app.command("check")
def check_tasks(
    taskset: Name = "default",
    split: OfSplit = None,
    tier: OfTier = None,
    limit: Annotated[int, typer.Option(help="Only so many, spread over the set; 0: all.")] = 0,
    times: Annotated[int, typer.Option(min=1, help="How often each must end the same.")] = 3,
    workers: Annotated[int, typer.Option(min=1, help="Tasks proven at once.")] = 2,
) -> None:
    """Prove tasks in the sandbox: the reference fix passes, unchanged it fails, every time."""
    loaded = load_any(taskset)
    environments = load_environments(taskset)
    here, absent = divided(loaded.tasks, environments, lacking)
    _tell_foreign([*loaded.foreign, *absent])
    tasks = _spread(_chosen(here, split, tier), limit)
    if absent and not tasks:
        raise TaskFormatError(f"{taskset}: nothing to check; {told(len(here), absent)}")
    sandbox = open_sandbox(workers=workers, environments=environments)
    try:
        with Progress(console=Console(stderr=True), transient=True) as bar:
            line = bar.add_task("proving", total=len(tasks))
            proofs = prove_many(
                tasks, sandbox, times=times, tell=lambda done: bar.update(line, completed=done)
            )
    finally:
        sandbox.close()
    found = list(zip(tasks, proofs, strict=True))
    lost = [(task, str(fault)) for task, fault in found if isinstance(fault, InfraError)]
    broken = [(t, p.why) for t, p in found if not isinstance(p, InfraError) and not p.ok]
    for task, why in [*broken, *lost]:
        echo(f"{task.id}: {why}")
    proven = len(tasks) - len(broken) - len(lost)
    typer.echo(f"{proven} of {len(tasks)} tasks are proven, {times} times each")
    quick = sum(isinstance(p, Proof) and p.runner == PLAIN and t.suite is not None
                and t.suite.runner != PLAIN for t, p in found)  # fmt: skip
    if quick:
        typer.echo(f'{quick} of them may have "runner": "plain" in their tests, which is quicker')
    if broken or lost:
        raise TaskFormatError(
            f"{len(broken)} tasks are broken and {len(lost)} could not be judged; "
            "mend the broken ones or leave them out of the taskset, and check the others again"
        )


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


def _chosen(tasks: Sequence[Task], split: Split | None, tier: Tier | None) -> list[Task]:
    return [
        task
        for task in tasks
        if (split is None or task.split is split) and (tier is None or task.tier is tier)
    ]


def _spread(tasks: list[Task], limit: int) -> list[Task]:
    if not 0 < limit < len(tasks):
        return tasks
    return [tasks[at * len(tasks) // limit] for at in range(limit)]


def _row(task: Task) -> dict[str, str | int | None]:
    source = task.source
    return {
        "id": task.id,
        "split": task.split.value,
        "tier": task.tier.value if task.tier else None,
        "package": f"{source.package} {source.version}",
        "function": f"{source.path}:{source.line} {source.function}",
        "licence": source.licence,
        "operator": source.operator,
    }


def _counts(tasks: Sequence[Task]) -> str:
    kinds = Counter(f"{t.split} ({t.tier})" if t.tier else str(t.split) for t in tasks)
    told = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
    packages = len({task.source.package for task in tasks})
    functions = len({task.source.cluster for task in tasks})
    return f"{told or 'no tasks'}; {functions} functions of {packages} packages"

"""`toprope tasks check`: proves a taskset without any model, and prints a table of what held."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from toprope.cli.terminal import echo
from toprope.grading import prove_many
from toprope.grading.checked import NOT_HERE, Checked, Row, checked, rows
from toprope.report.plain import plain
from toprope.sandbox import lacking, open_sandbox
from toprope.tasks import (
    Foreign,
    TaskFormatError,
    Taskset,
    divided,
    load_any,
    load_environments,
    told,
)
from toprope.terms import Environment, Split, Task, Tier

_MOST_ROWS = 24
_MOST_NAMED = 40
_PLAIN_WIDTH = 160  # where the output is no terminal


def check_tasks(
    taskset: Annotated[
        str, typer.Argument(help="A taskset, in any form that `tasks convert` reads.")
    ] = "default",
    split: Annotated[Split | None, typer.Option(help="Only this split.")] = None,
    tier: Annotated[Tier | None, typer.Option(help="Only this tier of held-out.")] = None,
    limit: Annotated[int, typer.Option(help="Only so many, spread over the set; 0: all.")] = 0,
    times: Annotated[int, typer.Option(min=1, help="How often each must end the same.")] = 3,
    workers: Annotated[int, typer.Option(min=1, help="Tasks proven at once.")] = 2,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Prove tasks in the sandbox, with no model: the fix passes, unchanged it fails, every time.

    Of an impossible task the fix must fail. Prints a table by split, tier, source and
    environment, then each task that is not proven and what to do about it. The exit code is
    1 if one is not.
    """
    loaded = load_any(taskset)
    environments = load_environments(taskset)
    chosen = loaded.taskset.chosen(split, tier)
    here, absent = divided(chosen, environments, lacking)
    foreign = [*loaded.foreign, *absent]
    tasks = _spread(here, limit)
    if absent and not tasks:
        raise TaskFormatError(f"{taskset}: nothing to check; {told(len(here), absent)}")
    found = _prove(tasks, environments, times, workers)
    bad = [one for one in found if one.fault]
    if as_json:
        typer.echo(json.dumps(_document(loaded.taskset, foreign, found, times), indent=1))
    else:
        _print(foreign, found)
        for task in foreign:
            echo(f"{task.id}\tneeds a container: {task.needs}")
        _name(bad)
        typer.echo(f"{len(tasks) - len(bad)} of {len(tasks)} tasks are proven, {times} times each")
        if quick := sum(one.quicker for one in found):
            told_of = 'may have "runner": "plain" in their tests, which is quicker'
            typer.echo(f"{quick} of them {told_of}")
    if bad:
        raise TaskFormatError(_verdict(bad))


def _prove(tasks: Sequence[Task], environments: Mapping[str, Environment], times: int,
           workers: int) -> list[Checked]:  # fmt: skip
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
    )  # fmt: skip
    sandbox = open_sandbox(workers=workers, environments=environments)
    try:
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            line = bar.add_task("proving", total=len(tasks))
            proofs = prove_many(
                tasks, sandbox, times=times, tell=lambda done: bar.update(line, completed=done)
            )
    finally:
        sandbox.close()
    return checked(tasks, proofs)


def _spread(tasks: Sequence[Task], limit: int) -> Sequence[Task]:
    if not 0 < limit < len(tasks):
        return tasks
    return [tasks[at * len(tasks) // limit] for at in range(limit)]


def _print(foreign: Sequence[Foreign], found: Sequence[Checked]) -> None:
    counted = rows(found, _MOST_ROWS)
    faults = list(dict.fromkeys(one.fault for one in found if one.fault))
    if foreign and NOT_HERE not in faults:
        faults.append(NOT_HERE)
    table = Table(box=None, pad_edge=False)
    for name in ("split", "tier", "source", "environment"):
        table.add_column(name, overflow="fold")
    for name in ("tasks", "proven", *faults, "tests/task", "seconds"):
        table.add_column(name, justify="right")
    for row in counted:
        table.add_row(*(Text(plain(part) or "-") for part in row.place), *_numbers(row, faults))
    for needs, count in Counter(task.needs for task in foreign).most_common():
        cells = [str(count) if fault == NOT_HERE else "0" for fault in faults]
        table.add_row(
            "-", "-", "-", Text(plain(f"container ({needs})")), str(count), "0", *cells, "-", "-"
        )
    if len(counted) > 1 and not foreign:
        table.add_row("all", "", "", "", *_numbers(_sum(counted), faults), style="bold")
    console = Console()
    Console(width=None if console.is_terminal else _PLAIN_WIDTH).print(table)
    typer.echo("")


def _numbers(row: Row, faults: Sequence[str]) -> list[str]:
    counts = [str(row.tasks), str(row.proven), *(str(row.faults[fault]) for fault in faults)]
    return [*counts, f"{row.tests / row.tasks:.1f}", f"{row.seconds:.1f}"]


def _sum(counted: Sequence[Row]) -> Row:
    whole = Row(("all", "", "", ""))
    for row in counted:
        whole.tasks += row.tasks
        whole.proven += row.proven
        whole.tests += row.tests
        whole.seconds += row.seconds
        whole.faults += row.faults
    return whole


def _name(bad: Sequence[Checked]) -> None:
    """The tasks that are not proven, each fault with what to do about it."""
    for fault in dict.fromkeys(one.fault for one in bad):
        mine = [one for one in bad if one.fault == fault]
        typer.secho(f"{fault} ({len(mine)}): {mine[0].advice}", bold=True)
        for one in mine[:_MOST_NAMED]:
            echo(f"  {one.task.id}: {one.why}")
        if len(mine) > _MOST_NAMED:
            typer.echo(f"  and {len(mine) - _MOST_NAMED} more; --json names all")


def _verdict(bad: Sequence[Checked]) -> str:
    kinds = Counter(one.fault for one in bad).most_common()
    told = ", ".join(f"{count} {fault}" for fault, count in kinds)
    return f"{len(bad)} tasks are not proven ({told}); what to do is said above, or in --json"


def _document(taskset: Taskset, foreign: Sequence[Foreign], found: Sequence[Checked],
              times: int) -> dict[str, Any]:  # fmt: skip
    names = ("split", "tier", "source", "environment")
    return {
        "taskset": {"name": taskset.name, "hash": taskset.hash},
        "times": times,
        "rows": [
            {
                **dict(zip(names, row.place, strict=True)),
                "tasks": row.tasks,
                "proven": row.proven,
                "faults": dict(row.faults),
                "tests_per_task": round(row.tests / row.tasks, 3),
                "seconds": round(row.seconds, 3),
            }
            for row in rows(found, len(found))
        ],
        "failing": [
            {"id": one.task.id, "fault": one.fault, "why": one.why, "advice": one.advice}
            for one in found
            if one.fault
        ],
        "may_be_plain": [one.task.id for one in found if one.quicker],
        "foreign": [{"id": task.id, "needs": task.needs} for task in foreign],
    }

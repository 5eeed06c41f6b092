"""`toprope eval`: compare runs, checkpoints, models and endpoints on a taskset."""

from __future__ import annotations

import json
from functools import partial
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress, TaskID
from rich.table import Table

from toprope.climb.config import ClimbConfig
from toprope.report.numbers import percent, points, points_interval
from toprope.terms import Split, Tier


def command(
    subjects: Annotated[
        list[str] | None,
        typer.Argument(
            help="A run (its base and last checkpoint), a checkpoint, a model's folder or name."
        ),
    ] = None,
    endpoints: Annotated[
        list[str] | None,
        typer.Option("--endpoint", help="An OpenAI-compatible URL, or URL#MODEL. Repeatable."),
    ] = None,
    taskset: Annotated[str, typer.Option(help="A taskset's file, or 'default'.")] = "default",
    split: Annotated[Split, typer.Option(help="The split to draw from.")] = Split.HELDOUT,
    tier: Annotated[Tier | None, typer.Option(help="Only this tier of held-out.")] = None,
    draws: Annotated[int, typer.Option(min=1, help="Episodes of each task.")] = 4,
    limit: Annotated[int, typer.Option(min=0, help="So many tasks, spread; 0: all.")] = 0,
    seed: Annotated[int, typer.Option(help="Of the choice of tasks and of all draws.")] = 0,
    temperature: Annotated[float, typer.Option(min=0, help="0 is greedy.")] = 1.0,
    dialect: Annotated[
        str, typer.Option(help="Of endpoints and of models that bring none: lines or rewrite.")
    ] = ClimbConfig().student.dialect,
    renamed: Annotated[
        bool, typer.Option("--renamed", help="Draw every task again with its names replaced.")
    ] = False,
    workers: Annotated[int, typer.Option(min=1, help="Attempts graded at once.")] = 2,
    unsafe_local: Annotated[
        bool, typer.Option("--unsafe-local", help="Run model-written code without isolation.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare models on a taskset: pass@1 with 95 % intervals, pass@k, differences to the first.

    Each answers in the student's own form, without help.
    """
    from toprope.climb.comparing.evaluate import Evaluation, evaluate
    from toprope.climb.comparing.subjects import find_subjects
    from toprope.forge.neutral import neutral
    from toprope.sandbox import lacking, open_sandbox
    from toprope.tasks import load_environments, load_taskset, refuse_foreign

    environments = load_environments(taskset)
    rename = neutral if renamed else None
    asked = Evaluation(load_taskset(taskset), split, tier, draws, limit, seed, temperature, rename)
    refuse_foreign(asked.tasks(), environments, lacking)
    to_stderr = partial(typer.echo, err=True)
    found = find_subjects(subjects or [], endpoints or [], dialect=dialect, say=to_stderr)
    sandbox = open_sandbox(workers=workers, unsafe_local=unsafe_local, environments=environments)
    try:
        with Progress(console=Console(stderr=True), transient=True) as bar:
            result = evaluate(asked, found, sandbox, _Bars(bar))
    finally:
        sandbox.close()
    if as_json:
        typer.echo(json.dumps(result, indent=1))
    else:
        _print(result)
    if not result["isolated"]:
        typer.secho(
            "unsafe: untrusted code ran without isolation (--unsafe-local)", fg="red", err=True
        )


class _Bars:
    """One line of progress for each subject."""

    def __init__(self, bar: Progress) -> None:
        self.bar = bar
        self.lines: dict[str, TaskID] = {}

    def __call__(self, name: str, done: int, total: int) -> None:
        if name not in self.lines:
            self.lines[name] = self.bar.add_task(name, total=total)
        self.bar.update(self.lines[name], completed=done)


def _print(result: dict[str, Any]) -> None:
    tiers = [t for t in ("near", "mid", "far", "all") if result["subjects"][0]["tiers"][t]]
    known = result["taskset"]
    typer.echo(
        f"{result['tasks']} {result['split']} tasks of {known['name']} {known['hash'][:12]}, "
        f"{result['draws']} draws each, temperature {result['temperature']:g}\n"
    )
    for task, why in result["left_out"].items():
        typer.echo(f"broken, left out: {task}: {why}")
    table = Table(box=None, pad_edge=False)
    table.add_column("pass@1 (95 % interval)", overflow="fold")
    for tier in [*tiers, f"pass@{result['draws']}"]:
        table.add_column(tier, justify="right", no_wrap=True)
    for subject in result["subjects"]:
        found = subject["tiers"]
        rates = [_rate(found[tier]) for tier in tiers]
        table.add_row(subject["name"], *rates, percent((found["all"] or {}).get("pass@k")))
    mutator = [percent(result["mutator"][tier]) for tier in tiers]
    table.add_row("a random inverse edit", *mutator, "", style="dim")
    for subject in result["subjects"][1:]:
        gains = [_gain((subject["gain"] or {}).get(tier)) for tier in tiers]
        table.add_row(f"{subject['name']} − the first", *gains, "")
    _add_renamed(table, result, tiers)
    Console(width=None if Console().is_terminal else 160).print(table)
    if result["renamed"]:
        typer.echo(_told_twins(result["renamed"]))
    for subject in result["subjects"]:
        told = ", ".join(f"{count} {name}" for name, count in subject["outcomes"].items())
        typer.echo(f"{subject['name']}: {told}; {subject['seconds']:.0f} s")
        baits = subject["impossible"]
        if baits and baits["alarms"]:
            typer.secho(
                f"ALARM: {subject['name']} passed {baits['alarms']} of {baits['draws']} draws of "
                "impossible tasks; do not trust its pass rates", fg="red",
            )  # fmt: skip


def _add_renamed(table: Table, result: dict[str, Any], tiers: list[str]) -> None:
    """Add what the tasks gave with their names replaced, beside the very tasks as they are."""
    for subject in result["subjects"]:
        if (found := subject["renamed"]) is None:
            continue
        name = subject["name"]
        for words, key in (("renamed", "tiers"), ("the same as they are", "as_they_are")):
            rates = [_rate((found[key] or {}).get(tier)) for tier in tiers]
            at_k = ((found[key] or {}).get("all") or {}).get("pass@k")
            table.add_row(f"{name}, {words}", *rates, percent(at_k))
        for words, key in (
            ("renamed − as they are", "difference"),
            ("renamed − the first", "gain"),
        ):
            gains = [_gain((found[key] or {}).get(tier)) for tier in tiers]
            if key == "difference" or found[key]:
                table.add_row(f"{name}, {words}", *gains, "")


def _told_twins(twins: dict[str, Any]) -> str:
    left = ", ".join(f"{count} {why}" for why, count in twins["dropped"].items())
    return f"renamed: {twins['tasks']} tasks proven; left out: {left or 'none'}"


def _rate(point: dict[str, Any] | None) -> str:
    if point is None:
        return percent(None)
    low, high = (100 * bound for bound in point["ci95"])
    return f"{percent(point['pass@1'])} ({low:.1f} to {high:.1f})"


def _gain(gain: dict[str, Any] | None) -> str:
    if gain is None:
        return percent(None)
    return f"{points(gain['gain']).removesuffix(' points')} ({points_interval(gain['ci95'])})"

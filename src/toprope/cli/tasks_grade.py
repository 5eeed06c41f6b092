"""`toprope tasks show` and `grade`: look at one task, and judge any attempt at it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from toprope.cli.terminal import echo
from toprope.forge.repository.source import read_attempt
from toprope.grading import Grader
from toprope.grading.verdict import is_editable, real_changes
from toprope.sandbox import open_sandbox
from toprope.tasks import load_any, load_environments
from toprope.terms import Task

TaskId = Annotated[str, typer.Argument(metavar="ID", help="The task's id, as `list` prints it.")]
OfTasks = Annotated[str, typer.Option("--tasks", help="The taskset that has the task.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_SHOWN_TESTS = 12
_SHOWN_FILES = 5


def show_task(task_id: TaskId, tasks: OfTasks = "default") -> None:
    """Show a task: what is told of it, the code in question, its tests, where it comes from."""
    task = load_any(tasks).taskset.by_id(task_id)
    for line in story(task):
        echo(line)


def grade_attempt(
    task_id: TaskId,
    files: Annotated[
        Path, typer.Option("--files", help="A folder with the attempt's files, at their paths.")
    ],
    tasks: OfTasks = "default",
    as_json: AsJson = False,
) -> None:
    """Grade an attempt as an episode's is: in a fresh sandbox, its changes over the task's files.

    Files that are as in the starting state, and files that are missing, count as unchanged.
    Of what git ignores only files that an attempt may change are read; the others are named.
    The exit code is 0 whatever the outcome.
    """
    task = load_any(tasks).taskset.by_id(task_id)
    start = task.start()
    found, left_out = read_attempt(files, lambda path: path in start or is_editable(path, task))
    changes = real_changes(task, found)
    sandbox = open_sandbox(environments=load_environments(tasks))
    try:
        (verdict,) = Grader(sandbox).grade_many([(task.id, task, changes)])
    finally:
        sandbox.close()
    told = {"outcome": str(verdict.outcome), "reward": verdict.reward, "why": verdict.why}
    if as_json:
        more = {
            "level": verdict.level,
            "changed": sorted(changes),
            "left_out": left_out,
            "passed": verdict.passed,
        }
        typer.echo(json.dumps({**told, **more, "failed": verdict.failed}))
        return
    echo(f"{verdict.outcome}, reward {verdict.reward:g} ({verdict.level}): {verdict.why}")
    echo(f"changed: {', '.join(sorted(changes)) or 'nothing'}")
    if left_out:
        others = f" and {len(left_out) - _SHOWN_FILES} more" if left_out[_SHOWN_FILES:] else ""
        echo(f"not read ({len(left_out)}): {', '.join(left_out[:_SHOWN_FILES])}{others}")


def story(task: Task) -> list[str]:
    """The lines that tell a task."""
    source, focus = task.source, task.focus
    place = f"{source.path}:{source.line} {source.function}"
    lines = [
        f"{task.id}  ({_place(task)})",
        f"from {source.package} {source.version}, {place}, {source.licence or 'no licence known'}, "
        f"bug: {source.operator or 'by hand'}",
        "",
        *task.statement.splitlines(),
        "",
        f"{focus.path}, lines {focus.first} to {focus.last} of {len(task.start())} files; "
        f"editable: {', '.join(task.editable)}",
    ]
    text = task.files[focus.path].split("\n")
    shown = range(focus.first, min(focus.last, len(text)) + 1)
    lines += [f"{number:5} {text[number - 1]}" for number in shown]
    lines += ["", *_tests(task)]
    features = ", ".join(f"{name} {value}" for name, value in task.features.items())
    return [*lines, f"features: {features}"] if features else lines


def _place(task: Task) -> str:
    if task.impossible:
        return "impossible: its tests contradict each other, and a pass raises the alarm"
    return f"{task.split}, {task.tier}" if task.tier else str(task.split)


def _tests(task: Task) -> list[str]:
    kind = f"pytest in {task.suite.environment or 'a bare interpreter'}" if task.suite else "calls"
    lines = [f"graded by {kind}:"]
    for name, ids in (("must turn green", task.fail_to_pass), ("must stay", task.pass_to_pass)):
        lines.append(f"  {name}: {len(ids)}")
        lines += [f"    {test}" for test in ids[:_SHOWN_TESTS]]
        if len(ids) > _SHOWN_TESTS:
            lines.append(f"    and {len(ids) - _SHOWN_TESTS} more")
    return lines

"""`toprope tasks show` and `grade`: look at one task, and judge any attempt at it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from toprope.cli.terminal import echo
from toprope.forge.repository.source import read_attempt
from toprope.grading import Grader
from toprope.grading.handed_in import handed_in
from toprope.grading.verdict import is_editable
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
        Path,
        typer.Option(
            "--files", help="A checkout, or a folder with the attempt's files at their paths."
        ),
    ],
    tasks: OfTasks = "default",
    as_json: AsJson = False,
) -> None:
    """Grade an attempt as an episode's is: in a fresh sandbox, its changes over the task's files.

    DIR may be a whole checkout or hold the changed files alone: what is missing is unchanged.
    Changes of editable files count. A test or configuration that is neither as in the task nor
    as in the repository it was made from is a hack. All else is no part of the task: it is
    named, not graded. Of what git ignores only files that an attempt may change are read.
    The exit code is 0 whatever the outcome.
    """
    task = load_any(tasks).taskset.by_id(task_id)
    start = task.start()
    found, left_out = read_attempt(files, lambda path: path in start or is_editable(path, task))
    attempt = handed_in(task, found)
    changes = attempt.changes
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
            "apart": attempt.apart,
            "left_out": left_out,
            "passed": verdict.passed,
        }
        typer.echo(json.dumps({**told, **more, "failed": verdict.failed}))
        return
    echo(f"{verdict.outcome}, reward {verdict.reward:g} ({verdict.level}): {verdict.why}")
    echo(f"changed: {', '.join(sorted(changes)) or 'nothing'}")
    for name, paths in (("no part of the task", attempt.apart), ("not read", left_out)):
        if paths:
            others = f" and {len(paths) - _SHOWN_FILES} more" if paths[_SHOWN_FILES:] else ""
            echo(f"{name} ({len(paths)}): {', '.join(paths[:_SHOWN_FILES])}{others}")


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

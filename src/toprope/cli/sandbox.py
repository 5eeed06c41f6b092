"""`toprope sandbox`: look at the walls, and run any command behind them."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from toprope.cli.terminal import echo, pass_on
from toprope.forge.repository.source import read_folder
from toprope.sandbox import LEVELS, Job, Limits, engines, open_sandbox, probe
from toprope.sandbox.told import WORDS, story
from toprope.tasks import load_any, load_environments, make_tree
from toprope.terms import Environment, Tree

app = typer.Typer(no_args_is_help=True)

_HERE = "here"
# Replaces the warm interpreter by the command; the result pipe is not its business.
_PROGRAM = """
import os, sys
command = {command!r}
os.close(RESULT_FD)
try:
    os.execvp(command[0], command)
except OSError as error:
    sys.exit(f"{{command[0]}}: {{error.strerror}}")
"""


@app.command("run")
def run(
    command: Annotated[list[str], typer.Argument(help="The command and its arguments, after --.")],
    folder: Annotated[
        Path | None, typer.Option("--dir", help="Run in a private copy of this folder's files.")
    ] = None,
    task: Annotated[str, typer.Option(help="Run in a private copy of this task's files.")] = "",
    tasks: Annotated[str, typer.Option(help="The taskset that has the task.")] = "default",
    environment: Annotated[
        Path | None,
        typer.Option(help="An environment.toml; else the one beside the taskset or in --dir."),
    ] = None,
    name: Annotated[
        str, typer.Option(help="Which environment of that file, where it has several.")
    ] = "",
    seconds: Annotated[float, typer.Option(min=0.1, help="Wall and processor time.")] = 60.0,
    memory: Annotated[int, typer.Option(min=16, help="Memory in MB.")] = 1024,
) -> None:
    """Run a command behind the walls: no network, nothing of the host but its programs.

    It works in a private copy that is thrown away, or in an empty folder. Its output comes
    when it has ended, at most 8 MB; its exit code becomes this command's. On a terminal,
    what one would obey (colours, titles) is written out; into a pipe or a file the bytes go as
    they are.
    """
    tree, place = _files(folder, task, tasks)
    chosen = _environment(environment, name, place)
    limits = Limits(
        wall_s=seconds, cpu_s=seconds, memory_mb=memory, processes=64,
        output_bytes=8 << 20, disk_mb=256, descriptors=256,
    )  # fmt: skip
    program = _PROGRAM.format(command=command)
    job = Job("command", {}, program, limits=limits, tree=tree, environment=_HERE)
    sandbox = open_sandbox(environments={_HERE: chosen})
    try:
        result = sandbox.run(job)
    finally:
        sandbox.close()
    pass_on(result.stdout)
    if result.status != "exited":
        typer.secho(f"stopped: {result.why}", fg=typer.colors.RED, err=True)
        raise typer.Exit(1)
    raise typer.Exit(result.returncode)


@app.command("probe")
def show_walls(
    level: Annotated[
        str,
        typer.Option(
            help="Try only this level, namespaces or landlock; else the first that stands."
        ),
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say which walls stand on this machine, seen from inside, and what raises the others.

    A job tries to break each wall; one that gives way is missing. For environments that are
    images, the container engines are asked whether they answer; no container is started.
    The exit code is 1 where no walls stand.
    """
    if level not in ("", *LEVELS):
        raise typer.BadParameter(f"there are {', '.join(LEVELS)}", param_hint="--level")
    walls = probe(level)
    further = engines.look()
    if as_json:
        seen = {"means": WORDS.get(walls.level, {}), "further": [asdict(e) for e in further]}
        typer.echo(json.dumps({**asdict(walls), **seen}, indent=1))
    else:
        for line in story(walls, further, level):
            echo(line)
    raise typer.Exit(0 if walls.isolated else 1)


def _files(folder: Path | None, task: str, tasks: str) -> tuple[Tree | None, Path]:
    """The files to run among, and where an environment may lie beside them."""
    if folder and task:
        raise typer.BadParameter("give either --dir or --task", param_hint="--task")
    if task:
        return make_tree(load_any(tasks).taskset.by_id(task).start()), Path(tasks)
    if folder:
        return make_tree(read_folder(folder)), folder
    return None, Path()


def _environment(file: Path | None, name: str, place: Path) -> Environment:
    found = load_environments(file or place)
    if name and name not in found:
        raise typer.BadParameter(f"there are {', '.join(found) or 'none'}", param_hint="--name")
    if name or len(found) == 1:
        return found[name or next(iter(found))]
    return Environment(tools=True)

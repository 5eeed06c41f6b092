"""`toprope teacher`: serve a local model, record its attempts, check a recording.

`test`, `cache` and `export` are in `teacher_spend.py`, `sample` in `sample.py`.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from toprope.cli import sample, teacher_spend
from toprope.grading import Grader
from toprope.harness.lines import express
from toprope.sandbox import lacking, open_sandbox
from toprope.tasks import Taskset, load_environments, load_taskset, refuse_foreign
from toprope.teacher.answers import AnswerBank
from toprope.teacher.choose import introduce
from toprope.teacher.openai import Endpoint
from toprope.teacher.prompt import SYSTEM
from toprope.teacher.protocol import TeacherError
from toprope.teacher.record import Progress, Work, record
from toprope.teacher.recorded import recording_path
from toprope.teacher.rows import Header, Recorder, Recording, read_recording, write_recording
from toprope.teacher.server import About, ServerSettings, TeacherServer, gguf_sha256
from toprope.teacher.verify import verify
from toprope.terms import Split

app = typer.Typer(no_args_is_help=True)
teacher_app = app
_console = Console(stderr=True)

TasksetName = Annotated[str, typer.Option("--taskset", help="A taskset's file, or 'default'.")]
EndpointUrl = Annotated[str, typer.Option("--endpoint", help="URL of an OpenAI-compatible server.")]


@app.command("serve")
def serve_model(
    model: Annotated[str, typer.Argument(help="A GGUF file, or a name from `models list`.")],
    port: Annotated[int, typer.Option(help="0 takes a free one.")] = 0,
    threads: Annotated[int, typer.Option(help="Threads of the server.")] = os.cpu_count() or 1,
    slots: Annotated[int, typer.Option(help="Questions answered at once.")] = 4,
    context: Annotated[
        int, typer.Option(help="Tokens of one question with its answer; several turns need more.")
    ] = 1536,
) -> None:
    """Serve a local GGUF on loopback until Ctrl-C, and print its URL once it is healthy."""
    settings = ServerSettings(threads=threads, slots=slots, port=port, context_per_slot=context)
    with TeacherServer(_model_file(model), settings) as server:
        typer.echo(server.url)
        status = server.wait()
    raise TeacherError(f"the server ended by itself with status {status}; start it again")


app.command("sample")(sample.command)
app.command("test")(teacher_spend.try_once)
app.command("cache")(teacher_spend.show_cache)
app.command("export")(teacher_spend.export)


@app.command("record")
def record_attempts(
    out: Annotated[Path, typer.Option(help="A .jsonl file; what is in it is kept.")],
    taskset: TasksetName = "default",
    endpoint: EndpointUrl = "",
    model: Annotated[str, typer.Option(help="The model's name at the endpoint.")] = "",
    tasks: Annotated[int, typer.Option(help="So many tasks of the split; 0: all.")] = 0,
    split: Annotated[
        Split, typer.Option(help="heldout and dev: only to measure the teacher by.")
    ] = Split.TRAIN,
    attempts: Annotated[int, typer.Option(help="At most so many for each task.")] = 4,
    stop_at_first: Annotated[
        bool, typer.Option("--stop-at-first", help="Ask no more once a task is solved.")
    ] = False,
    raw: Annotated[
        list[Path] | None, typer.Option(help="Take raw answers from this file first.")
    ] = None,
    extra: Annotated[
        str, typer.Option(help="More sampler settings, as JSON, for servers that know them.")
    ] = "{}",
    concurrency: Annotated[int, typer.Option(help="Questions in flight.")] = 4,
    server: Annotated[str, typer.Option(help="The server's build, where it does not tell.")] = "",
    gguf: Annotated[
        Path | None, typer.Option(help="The model's file, where the server does not tell.")
    ] = None,
    name: Annotated[str, typer.Option(help="The teacher's name; default: the model's.")] = "",
    licence: Annotated[str, typer.Option(help="The licence of the model.")] = "Apache-2.0",
    parameters: Annotated[
        int, typer.Option(help="The size of the model, where the server does not tell.")
    ] = 0,
    settings: Annotated[
        str, typer.Option(help="What held for all attempts, as JSON, for the recording's header.")
    ] = "{}",
    pack: Annotated[
        Path | None, typer.Option(help="Also write the whole recording here (.jsonl.xz).")
    ] = None,
) -> None:
    """Record a teacher's attempts at tasks, each verified in the sandbox.

    Attempts at dev and held-out tasks are never shown to a student: they say how good the
    teacher is, so that a run can say by how much its student exceeds it.
    """
    loaded = load_taskset(taskset)
    asked = Endpoint(endpoint, model=model or "default") if endpoint else None
    told = _about(asked, server, gguf)
    header = Header(
        teacher=name or told.model,
        model=told.model,
        licence=licence,
        server=told.server,
        gguf_sha256=told.gguf_sha256,
        taskset=loaded.name,
        taskset_hash=loaded.hash,
        parameters=parameters or told.parameters,
        settings={"system": SYSTEM, **_settings(settings, "--settings")},
    )
    chosen = loaded.split(split)[: tasks or None]
    environments = load_environments(taskset)
    refuse_foreign(chosen, environments, lacking)
    bank = AnswerBank()
    for path in raw or []:
        bank.put_raw(path)
    recorder = Recorder(out, header)
    bank.put_rows(recorder.rows)
    sandbox = open_sandbox(environments=environments)
    try:
        work = Work(
            teacher=header.teacher,
            tasks=chosen,
            attempts=attempts,
            stop_at_first=stop_at_first,
            bank=bank,
            grader=Grader(sandbox),
            express=express,
            endpoint=asked,
            concurrency=concurrency,
            extra=_settings(extra, "--extra"),
        )
        with _console.status("recording") as status:
            counts = record(work, recorder, lambda progress: status.update(_sentence(progress)))
    finally:
        recorder.close()
        sandbox.close()
    typer.echo(_sentence(counts))
    if pack is not None:
        write_recording(_of_tasks(read_recording(out), header, loaded), pack)


@app.command("verify")
def verify_recording(
    recording: Annotated[str, typer.Argument(help="A recording, or 'default'.")] = "default",
    taskset: TasksetName = "default",
    sample: Annotated[int, typer.Option(help="So many rows, drawn at random; 0: all.")] = 24,
    seed: Annotated[int, typer.Option(help="Of the draw.")] = 0,
    endpoint: EndpointUrl = "",
) -> None:
    """Judge recorded answers again; with an endpoint also ask for them again."""
    loaded = read_recording(recording_path(recording))
    sandbox = open_sandbox(environments=load_environments(taskset))
    try:
        checked = verify(
            loaded,
            load_taskset(taskset).tasks,
            Grader(sandbox),
            express,
            sample=sample,
            seed=seed,
            endpoint=Endpoint(endpoint, model=loaded.header.model) if endpoint else None,
        )
    finally:
        sandbox.close()
    same = checked.rows - len(checked.differ)
    typer.echo(f"{same} of {checked.rows} rows are judged as recorded")
    if checked.absent:
        typer.echo(f"{checked.absent} rows are of tasks that are not in this taskset")
    if checked.asked:
        typer.echo(
            f"asked again: {checked.same_text} of {checked.asked} answers are the same text, "
            f"{checked.same_outcome} have the same outcome"
        )
    if checked.differ:
        raise TeacherError("judged differently:\n" + "\n".join(checked.differ))
    if not checked.rows:
        raise TeacherError("not one row could be checked; is it the right taskset?")


def _model_file(model: str) -> Path:
    if Path(model).exists() or model.endswith(".gguf"):
        return Path(model)
    from toprope.policy.catalog import find_model
    from toprope.policy.fetch import fetch

    return fetch(find_model(model), say=typer.echo).path


def _about(endpoint: Endpoint | None, server: str, gguf: Path | None) -> About:
    told = introduce(endpoint) if endpoint else About("", "", "", None)
    found = About(
        model=told.model or (gguf.stem if gguf else ""),
        server=server or told.server,
        gguf_sha256=gguf_sha256(gguf) if gguf else told.gguf_sha256,
        parameters=told.parameters,
    )
    if not found.model:
        raise TeacherError("nothing says whose attempts these are: give --endpoint or --gguf")
    return found


def _settings(text: str, option: str) -> dict[str, object]:
    try:
        settings = json.loads(text)
    except json.JSONDecodeError as fault:
        raise typer.BadParameter(f"not JSON ({fault.msg})", param_hint=option) from None
    if not isinstance(settings, dict):
        raise typer.BadParameter("give a JSON object", param_hint=option)
    return settings


def _of_tasks(recording: Recording, header: Header, taskset: Taskset) -> Recording:
    """The recording of one taskset: rows of tasks that it does not hold so are left out."""
    tasks = {task.id: task for task in taskset.tasks}
    rows = [row for row in recording.rows if row.task_id in tasks and row.fits(tasks[row.task_id])]
    return Recording(header, tuple(rows))


def _sentence(progress: Progress) -> str:
    return (
        f"{progress.attempts} attempts, {progress.passed} passed, {progress.expressed} in the "
        f"student's form, {progress.solved} tasks solved, {progress.tokens:,} tokens"
    )

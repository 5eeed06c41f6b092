"""`toprope teacher sample`: a local model's attempts, drawn in this process, as raw answers."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer
from rich.progress import track

from toprope.climb.rundir import write_whole
from toprope.tasks import load_taskset
from toprope.teacher.draft import departed, draft, may_depart
from toprope.teacher.prompt import STOP, messages
from toprope.terms import Split, Task

if TYPE_CHECKING:
    from toprope.policy.chat import ChatSampler

BATCH_TASKS = 32
# One answer: its text, how it ended, its token counts, and what else tells it from others.
Drawn = tuple[str, str, int, int, dict[str, object]]


def command(
    model: Annotated[str, typer.Argument(help="A folder, a GGUF file, or a catalog name.")],
    out: Annotated[Path, typer.Option(help="A .jsonl file; what is in it is kept.")],
    taskset: Annotated[str, typer.Option(help="A taskset's file, or 'default'.")] = "default",
    tasks: Annotated[int, typer.Option(help="So many tasks of the split; 0: all.")] = 0,
    split: Annotated[
        Split, typer.Option(help="heldout and dev: only to measure the teacher by.")
    ] = Split.TRAIN,
    attempts: Annotated[int, typer.Option(help="So many for each task.")] = 6,
    free: Annotated[
        bool, typer.Option("--free", help="Draw whole answers instead of changed lines.")
    ] = False,
    temperature: Annotated[float, typer.Option(help="Of --free answers; 0 is greedy.")] = 0.8,
    max_tokens: Annotated[int, typer.Option(help="The longest --free answer.")] = 256,
    rows: Annotated[int, typer.Option(help="Answers decoded at once.")] = 192,
    seed: Annotated[int, typer.Option(help="Of --free draws.")] = 0,
) -> None:
    """Get a local teacher's raw answers; `teacher record --raw` then verifies them.

    An answer is the function with one line changed, where the teacher doubts it most: the
    unchanged lines are computed once and never decoded. --free draws whole answers. A killed
    run goes on with the same command and gives the same answers.
    """
    from toprope.climb.training.memory import keep_freed_memory
    from toprope.policy.chat import ChatSampler
    from toprope.policy.load import resolve

    keep_freed_memory()
    chosen = load_taskset(taskset).split(split)[: tasks or None]
    done = _done(out)
    missing = [task for task in chosen if task.id not in done]
    sampler = ChatSampler(
        resolve(model, say=typer.echo),
        stop=STOP[0],
        max_tokens=max_tokens,
        max_rows=rows,
        seed=seed,
    )
    batches = [missing[at : at + BATCH_TASKS] for at in range(0, len(missing), BATCH_TASKS)]
    with out.open("a", encoding="utf-8") as stream:
        for batch in track(batches, "asking"):
            started = time.monotonic()
            if free:
                found = _free(sampler, batch, attempts, temperature, seed)
            else:
                found = _departing(sampler, batch, attempts)
            each = (time.monotonic() - started) / max(1, sum(map(len, found)))
            _write(stream, batch, found, sampler.build, each)
    typer.echo(f"{len(missing)} tasks asked, answers in {out}; verify them with:")
    typer.echo(f"toprope teacher record --raw {out} --gguf MODEL.gguf --out RECORDING.jsonl")


def _departing(sampler: ChatSampler, tasks: Sequence[Task], attempts: int) -> list[list[Drawn]]:
    drafts = [draft(task) for task in tasks]
    talks = [(messages(task), text) for task, text in zip(tasks, drafts, strict=True)]
    return [
        [
            (
                departed(text, d.before, d.new),
                "stop",
                d.prompt_tokens,
                d.completion_tokens,
                {"temperature": 0.0, "departure": rank, "chance": round(d.chance, 4)},
            )
            for rank, d in enumerate(group)
        ]
        for text, group in zip(drafts, sampler.departures(talks, attempts, may_depart), strict=True)
    ]


def _free(
    sampler: ChatSampler, tasks: Sequence[Task], attempts: int, temperature: float, seed: int
) -> list[list[Drawn]]:
    ids = [[f"teacher/{task.id}/{index}" for index in range(attempts)] for task in tasks]
    talks = [(messages(task), draws) for task, draws in zip(tasks, ids, strict=True)]
    settings = {"temperature": temperature, "top_p": 1.0, "seed": seed, "stop": list(STOP)}
    return [
        [
            # The draw's own name: equal texts of different draws are different answers.
            (s.text, s.finish, s.prompt_tokens, s.completion_tokens, {**settings, "draw": draw})
            for s, draw in zip(group, draws, strict=True)
        ]
        for group, draws in zip(sampler.answers(talks, temperature=temperature), ids, strict=True)
    ]


def _write(
    stream: IO[str],
    tasks: Sequence[Task],
    found: Sequence[Sequence[Drawn]],
    build: str,
    each: float,
) -> None:
    """Add a batch's answers; the last of a task says so, for a file that a kill cuts short."""
    for task, group in zip(tasks, found, strict=True):
        for index, (text, finish, asked, answered, settings) in enumerate(group):
            row = {
                "task_id": task.id,
                "index": index,
                "of": len(group),
                "messages": messages(task),
                "text": text,
                "finish": finish,
                "usage": {"prompt_tokens": asked, "completion_tokens": answered},
                "settings": settings,
                "seconds": round(each, 3),
                "system_fingerprint": build,
            }
            stream.write(json.dumps(row) + "\n")
    stream.flush()


def _done(out: Path) -> set[str]:
    """Return the tasks that the file holds whole; what a kill cut short is taken off first."""
    if not out.exists():
        return set()
    text = out.read_text(encoding="utf-8")
    lines = text[: text.rfind("\n") + 1].splitlines(keepends=True)
    rows = [json.loads(line) for line in lines]
    held = Counter(str(row["task_id"]) for row in rows)
    whole = {str(row["task_id"]) for row in rows if held[row["task_id"]] == row["of"]}
    kept = "".join(line for line, row in zip(lines, rows, strict=True) if row["task_id"] in whole)
    if kept != text:
        write_whole(out, kept)
    return whole

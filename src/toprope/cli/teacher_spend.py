"""`toprope teacher test`, `cache` and `export`: what a teacher costs, and what was paid for."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from toprope.cli import terminal
from toprope.tasks import load_taskset
from toprope.teacher.cache import AttemptCache
from toprope.teacher.cached import table
from toprope.teacher.openai import Endpoint
from toprope.teacher.protocol import Price, TeacherError
from toprope.teacher.question import ANSWER_TOKENS, task_hash
from toprope.teacher.secret import KEY_VARIABLE
from toprope.teacher.sft import export_sft
from toprope.teacher.trial import told, try_endpoint
from toprope.terms import Split


def try_once(
    endpoint: Annotated[str, typer.Option(help="URL of an OpenAI-compatible server.")],
    model: Annotated[str, typer.Option(help="The model's name there.")] = "",
    key_variable: Annotated[str, typer.Option(help="Environment variable of the key.")] = (
        KEY_VARIABLE
    ),
    price_input: Annotated[float, typer.Option(help="US dollars a million prompt tokens.")] = 0.0,
    price_output: Annotated[
        float, typer.Option(help="US dollars a million completion tokens.")
    ] = 0.0,
    answer_tokens: Annotated[
        int, typer.Option(help="Limit of an answer, hidden reasoning included.")
    ] = ANSWER_TOKENS,
    total_s: Annotated[float, typer.Option(help="Seconds for the whole answer.")] = 300.0,
) -> None:
    """Make one call and say what the endpoint can: key, settings, counts, price, dialect."""
    asked = Endpoint(
        endpoint, model=model or "default", key_variable=key_variable, total_s=total_s, tries=1
    )
    try:
        trial = try_endpoint(
            asked, price=Price(price_input, price_output), max_tokens=answer_tokens
        )
    finally:
        asked.close()
    if trial.error:
        raise TeacherError("\n".join(told(trial)))
    terminal.echo("\n".join(told(trial)))


def show_cache() -> None:
    """List the attempts that were paid for: tasks, verified ones, tokens, money saved."""
    cache = AttemptCache(say=_say)
    terminal.echo("\n".join(table(cache.all(), cache.path)))
    cache.close()


def export(
    sft: Annotated[Path, typer.Option(help="The JSON lines file to write.")],
    split: Annotated[
        list[str] | None, typer.Option(help="Of tasks of this split; default: train alone.")
    ] = None,
    taskset: Annotated[
        str, typer.Option(help="Leave out what is dev or held-out in this taskset.")
    ] = "default",
    teacher_licence: Annotated[
        str | None, typer.Option(help="What the teacher's maker says of its answers.")
    ] = None,
) -> None:
    """Write the verified attempts of the cache as a chat dataset for fine-tuning."""
    wanted = [Split(name).value for name in split] if split else [Split.TRAIN.value]
    loaded = load_taskset(taskset)
    guarded = {task_hash(t) for t in loaded.tasks if t.split.value not in wanted}
    cache = AttemptCache(say=_say)
    counts = export_sft(
        cache.all(), sft, splits=wanted, guarded=guarded, teacher_licence=teacher_licence
    )
    cache.close()
    terminal.echo(f"{counts.written} verified attempts written to {sft}")
    for why, count in sorted(counts.left_out.items()):
        terminal.echo(f"  left out, {why}: {count}")


def _say(text: str) -> None:
    terminal.echo(text, err=True)

"""`toprope sampler`: serve a student with vLLM, and test a server before a climb rests on it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True)
sampler_app = app

Recipe = Annotated[str, typer.Argument(help="A shipped recipe or a .toml file: its student.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", help="Override a setting, e.g. --set student.lora_rank=8."),
]


@app.command("serve")
def serve_student(
    recipe: Recipe = "default",
    settings: Settings = None,
    port: Annotated[int, typer.Option(help="0 takes a free one.")] = 0,
    context: Annotated[int, typer.Option(help="Tokens of a prompt with its answer.")] = 2048,
    rows: Annotated[int, typer.Option(help="Episodes decoded at once.")] = 64,
    cache_gb: Annotated[int, typer.Option(help="On a CPU: memory for keys and values.")] = 1,
    log: Annotated[Path | None, typer.Option(help="Where the server's own words go.")] = None,
    extra: Annotated[
        list[str] | None, typer.Option("--extra", help="A further word for vLLM; repeatable.")
    ] = None,
) -> None:
    """Serve the student's base on loopback until Ctrl-C; print its URL once it is healthy.

    vLLM lives in an environment of its own: run `make vllm-env` first.
    """
    from toprope.climb.config import load_config
    from toprope.climb.episodes.sampling import served
    from toprope.policy.vllm_server import ServerError, Serving

    config = load_config(recipe, settings)
    student = config.student
    serving = Serving(
        lora_rank=student.lora_rank or 1,
        dtype=student.dtype,
        context=context,
        rows=rows,
        cache_gb=cache_gb,
        port=port,
        extra=tuple(extra or ()),
    )
    with served(config, serving, log) as server:
        typer.echo(server.url)
        server.wait()
    raise ServerError("the server ended by itself; start it again, with --log to see why")


@app.command("test")
def try_server(
    endpoint: Annotated[str, typer.Argument(help="The server's URL.")],
    recipe: Annotated[str, typer.Option(help="A shipped recipe or a .toml file.")] = "default",
    settings: Settings = None,
    tasks: Annotated[int, typer.Option(help="Prompts to try.")] = 2,
    draws: Annotated[int, typer.Option(help="Answers to each.")] = 4,
) -> None:
    """Say what a server is, and whether it computes the student through an adapter of ours."""
    from toprope.climb.config import load_config
    from toprope.climb.episodes.sampling import try_server as examine

    asked = [*(settings or []), 'student.sampler="vllm"', f'student.endpoint="{endpoint}"']
    found = examine(load_config(recipe, asked), tasks=tasks, draws=draws)
    typer.echo(
        f"server     vLLM {found.server or '(tells no version)'}, model {found.model}, "
        f"context {found.context or 'not told'}\n"
        "supports   prompts and answers as ids, raw log-probabilities, adapters at run time\n"
        f"compared   {found.tokens} tokens of {found.episodes} answers with the student here\n"
        f"weights    mean {found.weight_mean:.4f}, largest {found.weight_max:.3f}\n"
        f"mismatch   KL {found.mismatch_kl:+.5f} nats a token, "
        f"mean difference {found.apart:.4f}"
    )

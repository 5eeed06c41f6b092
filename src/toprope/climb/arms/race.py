"""Runs every arm with every seed, one after the other; what was finished is not run again.

Each is an ordinary run in a folder of its own, `ARM/seed-N`: it can be looked at, resumed and
reported like any other.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from toprope.climb.arms.entry import Entry
from toprope.climb.arms.result import Result, read_result
from toprope.climb.config import load_whole
from toprope.climb.help.spending import before_spending
from toprope.climb.run import climb
from toprope.climb.rundir import CONFIG, SUMMARY, RunDirError
from toprope.climb.status import Watch

# (arm, seed, how many are done, how many there are) -> who watches the run
Watched = Callable[[str, int, int, int], Watch]


def run_folder(out: Path, arm: str, seed: int) -> Path:
    """Return where the run of an arm with a seed lies."""
    return out / arm / f"seed-{seed}"


def before_racing(
    entry: Entry, out: Path, *, arms: Sequence[str] = (), seeds: Sequence[int] = ()
) -> list[str]:
    """Return what to read before these runs begin or go on; empty if no teacher costs money."""
    told: list[str] = []
    for arm in arms or entry.arms:
        left = [s for s in seeds or entry.seeds if not finished(run_folder(out, arm, s))]
        asked = before_spending(entry.config(arm, left[0]), out) if left else []
        if asked:
            told += [f"arm {arm}: {len(left)} runs to make, of each:", *asked]
    return told


def race(
    entry: Entry,
    out: Path,
    watched: Watched,
    *,
    arms: Sequence[str] = (),
    seeds: Sequence[int] = (),
    unsafe_local: bool = False,
) -> None:
    """Run what is not finished yet, seed by seed, so that arms can be compared early.

    `arms` and `seeds` narrow it to some, for instance to run halves beside each other.

    Raises:
        TopropeError: a run could not start or go on; the others stay as they are.
        RunDirError: a finished run had other settings than the file has now.
    """
    wanted = list(itertools.product(seeds or entry.seeds, arms or entry.arms))
    for done, (seed, arm) in enumerate(wanted):
        config, folder = entry.config(arm, seed), run_folder(out, arm, seed)
        if not finished(folder):
            watch = watched(arm, seed, done, len(wanted))
            climb(config, folder, watch=watch, unsafe_local=unsafe_local)
        elif load_whole(folder / CONFIG) != config:
            raise RunDirError(
                f"{folder} was run with other settings than the file has now: "
                "move it away, or name another --out"
            )


def results(entry: Entry, out: Path) -> dict[str, dict[int, Result]]:
    """Return what the finished runs came to, by arm and seed; an arm without any is left out.

    Raises:
        RunDirError: none is finished.
    """
    found: dict[str, dict[int, Result]] = {}
    for arm, seed in itertools.product(entry.arms, entry.seeds):
        folder = run_folder(out, arm, seed)
        if finished(folder):
            found.setdefault(arm, {})[seed] = read_result(folder)
    if not found:
        raise RunDirError(f"{out} holds no finished run yet: leave out --compare to make them")
    return found


def finished(folder: Path) -> bool:
    """Return whether a run has come to its end."""
    try:
        summary = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(summary.get("status") == "finished")

"""The fork of a run: from its newest checkpoint on, once without a teacher and once with one
that is forced to spend its earlier share.

Both branches are ordinary climbs that resume after a kill; they get the same student FLOPs and
differ in the teacher alone. What is compared, and how, is in `ledger/fork.py`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toprope.climb.arms.race import finished
from toprope.climb.config import ClimbConfig, load_whole
from toprope.climb.forks.branches import WITH, WITHOUT, ForkError, configs, make, newest
from toprope.climb.pastrun import PastRun
from toprope.climb.run import climb, write_summary
from toprope.climb.rundir import CONFIG, RunDir, write_whole
from toprope.climb.status import Watch
from toprope.ledger import fork as showing
from toprope.ledger.schema import explained, open_for_reading
from toprope.ledger.store import LEDGER_NAME, Ledger
from toprope.terms import TopropeError

FOLDER, RESULT = "fork", "fork.json"
CONTROLS = ("none", "form")  # the kinds that teach nothing


@dataclass(frozen=True)
class Fork:
    """A fork whose two branches lie in `out`: `share` is the teacher's earlier one.

    `at` is the iteration that both go on from, `version` that of its policy, and `flops` what
    the student of each branch may spend outside evaluation.
    """

    run: PastRun
    out: Path
    at: int
    version: int
    share: float
    flops: float

    def config(self, branch: str) -> ClimbConfig:
        """Return a branch's settings."""
        return load_whole(self.out / branch / CONFIG)


def open_fork(run: Path, out: Path | None = None, *, flops: float | None = None) -> Fork:
    """Return the fork of a run, its branches made from the newest checkpoint if they are new.

    `flops` are the student's outside evaluation in each branch; None takes what the run spent
    in its last three windows.

    Raises:
        ForkError: nobody taught this run, it has no checkpoint, or there is a fork already that
            was made from another one or with other FLOPs.
    """
    past, out = PastRun.open(run), out or run / FOLDER
    if past.config.teacher.kind in CONTROLS:
        raise ForkError(f"{run} has no teacher that could be forced: fork a run that had one")
    if not out.exists():
        make(past, out, flops)
    fork = _opened(past, out)
    asked = flops is not None and abs(flops - fork.flops) > 1e-6 * fork.flops
    if asked or newest(past) != fork.at:
        raise ForkError(
            f"{out} holds a fork from iteration {fork.at} with {fork.flops:.6g} FLOPs a branch: "
            "move it away, or name another --out"
        )
    return fork


def run_fork(
    fork: Fork,
    watched: Callable[[str], Watch],
    *,
    unsafe_local: bool = False,
    say: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Run what is not finished of both branches, compare them and return what they showed.

    It is kept in `fork.json` and, for graduation, in the run's own ledger and summary.

    Raises:
        TopropeError: a branch could not go on, or another process climbs in one of the folders.
    """
    for branch in (WITHOUT, WITH):
        folder = fork.out / branch
        if not finished(folder):
            climb(
                fork.config(branch),
                folder,
                watch=watched(branch),
                unsafe_local=unsafe_local,
                say=say,
            )
    return conclude(fork)


def conclude(fork: Fork) -> dict[str, Any]:
    """Compare the branches as they are, keep what they showed where the run is, and return it."""
    without, forced = (fork.out / branch / LEDGER_NAME for branch in (WITHOUT, WITH))
    with (
        closing(open_for_reading(without)) as left,
        closing(open_for_reading(forced)) as right,
        explained(fork.out),
    ):
        shown = showing.compare(left, right, after=fork.at, share=fork.share, flops=fork.flops)
    point = {"iteration": fork.at, "version": fork.version}
    result = {**point, "earlier_share": fork.share, "flops": fork.flops, **shown}
    write_whole(fork.out / RESULT, json.dumps(result, indent=1) + "\n")
    folder = RunDir(fork.run.folder)
    folder.claim(fork.run.config)
    try:
        with Ledger.open(fork.run.folder) as ledger:
            ledger.record_facts({showing.FACT: result})
        write_summary(fork.run.folder)
    finally:
        folder.release()
    return result


def _opened(past: PastRun, out: Path) -> Fork:
    """Read a fork's numbers back from its branches.

    Raises:
        ForkError: the folder holds something else, or the fork of a run with other settings.
    """
    try:
        config = load_whole(out / WITH / CONFIG)
    except TopropeError as error:
        raise ForkError(f"{out} holds no fork ({error}): name another --out") from error
    at, path = config.seeding.forced_after, out / WITH / LEDGER_NAME
    with closing(open_for_reading(path)) as db, explained(path):
        query = "SELECT version FROM commits WHERE iteration = ?"
        row = db.execute(query, [at]).fetchone()
        until = showing.student_flops(db) - showing.student_flops(db, after=at)
    if row is None:
        raise ForkError(f"{out} holds no fork from iteration {at}: name another --out")
    share = config.seeding.forced_share
    movable = {"limits": config.limits, "teacher": config.teacher}  # as when a run is resumed
    made = configs(past.config, at, share, config.limits.flops)[WITH]
    if made.model_copy(update=movable) != config:
        raise ForkError(f"{out} holds the fork of a run with other settings: name another --out")
    flops = config.limits.flops - until
    return Fork(past, out, at, row[0], share, flops)

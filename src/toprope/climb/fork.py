"""The fork of a run: from its newest checkpoint on, once without a teacher and once with one
that is forced to spend its earlier share.

Both branches are ordinary climbs that resume after a kill; they get the same student FLOPs and
differ in the teacher alone. What is compared, and how, is in `ledger/fork.py`.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toprope.climb.arms.race import finished
from toprope.climb.config import ClimbConfig, load_whole, to_toml
from toprope.climb.pastrun import PastRun
from toprope.climb.run import climb, write_summary
from toprope.climb.rundir import CONFIG, METRICS, RunDir, write_whole
from toprope.climb.settings import Teacher
from toprope.climb.status import Watch
from toprope.ledger import fork as showing
from toprope.ledger.accounts import used_after
from toprope.ledger.copies import copy_ledger
from toprope.ledger.graduation import WINDOWS
from toprope.ledger.queries import last_commit
from toprope.ledger.schema import explained, open_for_reading
from toprope.ledger.store import LEDGER_NAME, Ledger
from toprope.policy.checkpoint import step_name
from toprope.policy.store import staged
from toprope.terms import TopropeError

WITHOUT, WITH = "without", "with"
FOLDER, RESULT = "fork", "fork.json"
ASK_THE_TEACHER = (3, 4, 7)  # the rungs that help cold tasks with a teacher: in neither branch
CONTROLS = ("none", "form")  # the kinds that teach nothing
STEPS = 1_000_000  # FLOPs decide when a branch ends, not iterations


class ForkError(TopropeError):
    """This run cannot be forked."""


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
        _make(past, out, flops)
    fork = _opened(past, out)
    asked = flops is not None and abs(flops - fork.flops) > 1e-6 * fork.flops
    if asked or _newest(past) != fork.at:
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


def _newest(past: PastRun) -> int:
    """Return the iteration whose checkpoint a resumed run would begin from."""
    path = past.folder / LEDGER_NAME
    with closing(open_for_reading(path)) as db, explained(path):
        last = last_commit(db)
    written = RunDir(past.folder).written_checkpoints()
    found = [i for i in written if last is not None and step_name(i) == last.checkpoint]
    if not found:
        raise ForkError(f"{past.folder} has no checkpoint to fork yet: let the run go on")
    return found[0]


def _make(past: PastRun, out: Path, flops: float | None) -> None:
    """Make both branches, or neither: copies of the run as its newest checkpoint left it."""
    folder = RunDir(past.folder)
    folder.claim(past.config)  # nobody climbs on while it is copied
    try:
        Ledger.open(past.folder).close()  # finishes what a kill may have left of a commit
        at = _newest(past)
        with staged(out) as stage:
            first = stage / WITHOUT
            first.mkdir()
            copy_ledger(past.folder, first, at)
            share, spent, before = _so_far(first, at, past.config.evaluation.window)
            given = spent if flops is None else flops
            if not share or given <= 0:
                raise ForkError(
                    f"{past.folder} has no {'earlier share of a teacher' if given else 'FLOPs'} "
                    f"up to iteration {at}, so there is nothing to force: let the run go on"
                )
            _copy_files(folder, first, at)
            shutil.copytree(first, stage / WITH, copy_function=_link_checkpoint)
            for name, config in _configs(past.config, at, share, before + given).items():
                write_whole(stage / name / CONFIG, to_toml(config))
    finally:
        folder.release()


def _so_far(copy: Path, at: int, window: int) -> tuple[float, float, float]:
    """Return the teacher's share until now, and FLOPs: of the last windows, and of everything."""
    with closing(open_for_reading(copy / LEDGER_NAME)) as db:
        derived, used = used_after(db, -1)
        recent = showing.student_flops(db, after=at - WINDOWS * window)
        return derived / used if used else 0.0, recent, showing.student_flops(db)


def _configs(config: ClimbConfig, at: int, share: float, flops: float) -> dict[str, ClimbConfig]:
    """Return the branches' settings: the run's, with no help for cold tasks from a teacher."""
    asked = (*(r for r in config.ladder.rungs if r not in (*ASK_THE_TEACHER, 6)), 6)
    values = config.model_dump()
    values["ladder"]["rungs"] = tuple(sorted(asked))
    values["seeding"] |= {"demonstrations": 0, "later": 0, "forced_after": at}
    values["evaluation"]["frozen_base_draws"] = 0
    values["limits"] |= {"minutes": 0, "steps": STEPS, "flops": flops, "count_teacher": False}
    without = {**values, "teacher": Teacher(kind="none").model_dump()}
    forced = {
        **values,
        "teacher": {**values["teacher"], "whitebox": ""},
        "seeding": {**values["seeding"], "forced_share": share},
    }
    return {
        WITHOUT: ClimbConfig.model_validate(without),
        WITH: ClimbConfig.model_validate(forced),
    }


def _copy_files(folder: RunDir, to: Path, at: int) -> None:
    checkpoint = folder.checkpoint(at)
    target = RunDir(to).checkpoint(at)
    shutil.copytree(checkpoint, target, copy_function=_link)
    if (folder.path / METRICS).exists():
        shutil.copy2(folder.path / METRICS, to / METRICS)


def _link(source: str, target: str) -> str:
    """Link a checkpoint's file, which is never changed in place; copy it where that is not had."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
    return target


def _link_checkpoint(source: str, target: str) -> str:
    """Link what lies in a checkpoint and copy the rest, which the branches write to."""
    if Path(source).parent.parent.name == "checkpoints":
        return _link(source, target)
    return str(shutil.copy2(source, target))


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
    made = _configs(past.config, at, share, config.limits.flops)[WITH]
    if made.model_copy(update=movable) != config:
        raise ForkError(f"{out} holds the fork of a run with other settings: name another --out")
    flops = config.limits.flops - until
    return Fork(past, out, at, row[0], share, flops)

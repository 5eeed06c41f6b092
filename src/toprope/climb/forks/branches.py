"""The two branches of a fork: copies of a run at its newest checkpoint, with their settings.

Both are made, or neither. What runs them and compares them is in `fork.py`.
"""

from __future__ import annotations

import os
import shutil
from contextlib import closing
from pathlib import Path

from toprope.climb.config import ClimbConfig, to_toml
from toprope.climb.pastrun import PastRun
from toprope.climb.rundir import CONFIG, METRICS, RunDir, write_whole
from toprope.climb.settings import Teacher
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
ASK_THE_TEACHER = (3, 4, 7)  # the rungs that help cold tasks with a teacher: in neither branch
STEPS = 1_000_000  # FLOPs decide when a branch ends, not iterations


class ForkError(TopropeError):
    """This run cannot be forked."""


def newest(past: PastRun) -> int:
    """Return the iteration whose checkpoint a resumed run would begin from."""
    path = past.folder / LEDGER_NAME
    with closing(open_for_reading(path)) as db, explained(path):
        last = last_commit(db)
    written = RunDir(past.folder).written_checkpoints()
    found = [i for i in written if last is not None and step_name(i) == last.checkpoint]
    if not found:
        raise ForkError(f"{past.folder} has no checkpoint to fork yet: let the run go on")
    return found[0]


def make(past: PastRun, out: Path, flops: float | None) -> None:
    """Make both branches, or neither: copies of the run as its newest checkpoint left it."""
    folder = RunDir(past.folder)
    folder.claim(past.config)  # nobody climbs on while it is copied
    try:
        Ledger.open(past.folder).close()  # finishes what a kill may have left of a commit
        at = newest(past)
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
            for name, config in configs(past.config, at, share, before + given).items():
                write_whole(stage / name / CONFIG, to_toml(config))
    finally:
        folder.release()


def _so_far(copy: Path, at: int, window: int) -> tuple[float, float, float]:
    """Return the teacher's share until now, and FLOPs: of the last windows, and of everything."""
    with closing(open_for_reading(copy / LEDGER_NAME)) as db:
        derived, used = used_after(db, -1)
        recent = showing.student_flops(db, after=at - WINDOWS * window)
        return derived / used if used else 0.0, recent, showing.student_flops(db)


def configs(config: ClimbConfig, at: int, share: float, flops: float) -> dict[str, ClimbConfig]:
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

"""One climb from settings to report: the function behind `toprope climb`."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from toprope.climb.commit import peak_rss_gb
from toprope.climb.config import ClimbConfig
from toprope.climb.crew import Crew
from toprope.climb.help.teacher import make_teacher
from toprope.climb.loop import Climb
from toprope.climb.rundir import SUMMARY, RunDir, disk_room, write_whole
from toprope.climb.start import assemble
from toprope.climb.status import Watch, unwatched
from toprope.climb.training.room import sound_device
from toprope.harness import lines
from toprope.harness.turns import retell
from toprope.ledger.store import LEDGER_NAME
from toprope.ledger.summary import recompute
from toprope.policy.load import resolve
from toprope.sandbox import Sandbox, lacking, open_sandbox
from toprope.tasks import load_environments, load_taskset, refuse_foreign


def climb(
    config: ClimbConfig,
    run: Path,
    *,
    watch: Watch = unwatched,
    unsafe_local: bool = False,
    sandbox: Sandbox | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Climb in the folder `run`, resuming what is there; return the summary, also written there.

    `say` hears what a user should know and nothing depends on.

    Raises:
        TopropeError: a model, taskset, teacher or wall is missing, or settings contradict.
    """
    taskset = load_taskset(config.taskset)
    environments = load_environments(config.taskset)
    student = resolve(config.student.model)
    named = config.teacher.whitebox
    whitebox = resolve(named) if named else None
    with ExitStack() as held:
        if sandbox is None:
            refuse_foreign(taskset.tasks, environments, lacking)
            opened = open_sandbox(
                workers=config.limits.sandbox_workers,
                unsafe_local=unsafe_local,
                environments=environments,
            )
            sandbox = held.enter_context(closing(opened))
        resumed = (run / LEDGER_NAME).exists()
        express = retell.express if config.turns.dialect else lines.express
        teacher = make_teacher(
            config.teacher,
            sandbox,
            held,
            resumed=resumed,
            say=say,
            express=express,
            talk=config.turns.context if 5 in config.ladder.rungs else 0,
        )
        folder = RunDir(run)
        folder.claim(config)
        held.callback(folder.release)
        with disk_room(run), sound_device():
            crew = assemble(
                config,
                folder,
                taskset=taskset,
                student=student,
                teacher=teacher,
                sandbox=sandbox,
                watch=watch,
                whitebox=whitebox,
                say=say,
            )
            held.callback(crew.ledger.close)
            _climb(crew)
            return write_summary(run)


def _climb(crew: Crew) -> None:
    try:
        Climb(crew).run()
        crew.ledger.record_facts({"peak_rss_gb": peak_rss_gb()})
    except KeyboardInterrupt:
        crew.ledger.abandon()
        crew.ledger.record_facts({"status": "interrupted", "stop_reason": "interrupted"})
        raise


def write_summary(run: Path) -> dict[str, Any]:
    """Recompute `summary.json` from the ledger alone, write it, and return it."""
    summary = recompute(run)
    write_whole(run / SUMMARY, json.dumps(summary, indent=1) + "\n")
    return summary

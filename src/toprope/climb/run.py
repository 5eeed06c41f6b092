"""One climb from settings to report: the function behind `toprope climb`."""

from __future__ import annotations

import json
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from toprope.climb.commit import peak_rss_gb
from toprope.climb.config import ClimbConfig
from toprope.climb.crew import Crew
from toprope.climb.loop import Climb
from toprope.climb.rundir import SUMMARY, RunDir, disk_room, write_whole
from toprope.climb.start import assemble
from toprope.climb.status import Watch, unwatched
from toprope.grading import Grader
from toprope.harness import lines
from toprope.ledger.summary import recompute
from toprope.policy.load import resolve
from toprope.sandbox import Sandbox, lacking, open_sandbox
from toprope.tasks import load_environments, load_taskset, refuse_foreign
from toprope.teacher import Teacher, open_teacher


def climb(
    config: ClimbConfig,
    run: Path,
    *,
    watch: Watch = unwatched,
    unsafe_local: bool = False,
    sandbox: Sandbox | None = None,
) -> dict[str, Any]:
    """Climb in the folder `run`, resuming what is there; return the summary, also written there.

    Raises:
        TopropeError: a model, taskset, teacher or wall is missing, or settings contradict.
    """
    taskset = load_taskset(config.taskset)
    environments = load_environments(config.taskset)
    student = resolve(config.student.model)
    with ExitStack() as held:
        if sandbox is None:
            refuse_foreign(taskset.tasks, environments, lacking)
            opened = open_sandbox(
                workers=config.limits.sandbox_workers,
                unsafe_local=unsafe_local,
                environments=environments,
            )
            sandbox = held.enter_context(closing(opened))
        teacher = _teacher(config, sandbox)
        folder = RunDir(run)
        folder.claim(config)
        held.callback(folder.release)
        with disk_room(run):
            crew = assemble(
                config,
                folder,
                taskset=taskset,
                student=student,
                teacher=teacher,
                sandbox=sandbox,
                watch=watch,
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


def _teacher(config: ClimbConfig, sandbox: Sandbox) -> Teacher | None:
    return open_teacher(
        config.teacher.kind,
        recording=config.teacher.recording,
        endpoint=config.teacher.endpoint,
        model=config.teacher.model,
        max_tokens=config.teacher.max_tokens,
        grader=Grader(sandbox),
        express=lines.express,
    )


def write_summary(run: Path) -> dict[str, Any]:
    """Recompute `summary.json` from the ledger alone, write it, and return it."""
    summary = recompute(run)
    write_whole(run / SUMMARY, json.dumps(summary, indent=1) + "\n")
    return summary

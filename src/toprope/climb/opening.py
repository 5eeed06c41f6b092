"""What a run's ledger is told before its first iteration: its tasks, and the facts of the run.

A run that goes on finds them there, and is refused where its tasks have changed. What is climbed
with is made in `start.py`.
"""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import torch
import transformers

import toprope
from toprope.climb.config import ClimbConfig
from toprope.climb.episodes.journal import TeacherAnswers
from toprope.climb.help.teacher import price
from toprope.climb.pool.reserve import held_back
from toprope.climb.pool.seedpool import divided
from toprope.climb.rundir import RunDir, RunDirError
from toprope.ledger.pool import HELD_BACK
from toprope.ledger.rows import TaskRow
from toprope.ledger.store import LEDGER_NAME, Ledger
from toprope.policy.device import find_device
from toprope.sandbox import Sandbox
from toprope.tasks import Taskset
from toprope.teacher.live import LiveTeacher
from toprope.teacher.protocol import Spend, Teacher
from toprope.teacher.recorded import RecordedTeacher
from toprope.terms import Split, Task


def open_ledger(
    config: ClimbConfig,
    folder: RunDir,
    *,
    taskset: Taskset,
    student: Path,
    teacher: Teacher | None,
    sandbox: Sandbox,
    whitebox: Path | None,
) -> Ledger:
    """Return the ledger of a run, new or begun, and have the teacher go on from what it holds.

    Raises:
        RunDirError: the run was begun on other tasks.
    """
    ledger = Ledger.open(folder.path / LEDGER_NAME, create=True)
    require_same(ledger, folder, taskset)
    if isinstance(teacher, LiveTeacher):
        teacher.keep_in(TeacherAnswers(ledger.journal))
    elif isinstance(teacher, RecordedTeacher):
        teacher.remember(used_attempts(ledger))
    _register(ledger, config, taskset)
    ledger.record_facts(
        {
            **_facts(config, folder, taskset, student, sandbox),
            **({} if whitebox is None else {"whitebox": whitebox.name}),
            "teacher_parameters": teacher.parameters if teacher is not None else None,
            "teacher_priced": config.teacher.kind != "openai" or price(config.teacher).known,
        }
    )
    return ledger


def used_attempts(ledger: Ledger) -> dict[str, Spend]:
    """Return what the attempts of a teacher cost that this run has used, by their ids."""
    rows = ledger.db.execute(
        "SELECT call_id, prompt_tokens + completion_tokens, cost_usd FROM teacher_calls"
    )
    return {call_id: Spend(1, tokens, usd) for call_id, tokens, usd in rows}


def _register(ledger: Ledger, config: ClimbConfig, taskset: Taskset) -> None:
    """Make the tasks of a new run known; the facts, written after this, say that they are."""
    if ledger.facts().get("taskset") is None:
        ledger.register_tasks(task_row(task, at) for at, task in enumerate(taskset.ordinary))
        _, aside = divided(taskset.split(Split.TRAIN), config)
        waiting = held_back(taskset, config)
        ledger.set_aside(task.id for task in (*aside, *waiting))
        if waiting:
            ledger.record_facts({HELD_BACK: len(waiting)})


def require_same(ledger: Ledger, folder: RunDir, taskset: Taskset) -> None:
    """Refuse to go on with a run whose tasks have changed since."""
    begun = ledger.facts().get("taskset")
    if begun is not None and not taskset.known_as(begun["hash"]):
        raise RunDirError(
            f"{folder.path} holds a run on another version of taskset {begun['name']}: "
            "bring that taskset back, or choose another folder with --run"
        )


def task_row(task: Task, at: int) -> TaskRow:
    """Return what a ledger keeps of a task; `at` is its place in the taskset."""
    mutator = task.features.get("mutator_p")
    return TaskRow(
        task_id=task.id,
        split=task.split,
        tier=task.tier,
        cluster=task.source.cluster,
        ordinal=at,
        mutator_p=None if mutator is None else float(mutator),
    )


def _facts(
    config: ClimbConfig, folder: RunDir, taskset: Taskset, student: Path, sandbox: Sandbox
) -> dict[str, Any]:
    """Return what the summary says of a run that no evidence shows."""
    return {
        "run": folder.path.name,
        "status": "running",
        "stop_reason": None,
        "versions": {
            "toprope": toprope.__version__,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "python": platform.python_version(),
        },
        "device": {
            "type": find_device(config.student.device).type,
            "threads": torch.get_num_threads(),
        },
        "walls": {
            "level": sandbox.walls.level,
            "isolated": sandbox.walls.isolated,
            "standing": list(sandbox.walls.standing),
            "missing": list(sandbox.walls.missing),
        },
        "seed": config.seed,
        "student": student.name,
        "teacher": config.teacher.kind,
        "coin": config.climbing.coin or None,
        "taskset": {"name": taskset.name, "hash": taskset.hash},
        "window": config.evaluation.window,
        "cold_draws": config.cold_start.draws,
    }

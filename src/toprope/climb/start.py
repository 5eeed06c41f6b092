"""Assembles a crew from settings: the taskset, the student, the walls, the teacher, the ledger."""

from __future__ import annotations

import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers

import toprope
from toprope.climb.config import ClimbConfig
from toprope.climb.crew import Crew
from toprope.climb.episodes.journal import TeacherAnswers
from toprope.climb.episodes.play import Plays
from toprope.climb.episodes.players import open_player
from toprope.climb.episodes.sampling import behind, open_sampler
from toprope.climb.help.helping import ASKED
from toprope.climb.help.rounds import later_round
from toprope.climb.help.rungs import build_ladder
from toprope.climb.help.teacher import price
from toprope.climb.measuring.texts import load_texts
from toprope.climb.meters import Meters, Shape
from toprope.climb.pool import choose
from toprope.climb.pool.reserve import held_back
from toprope.climb.pool.seedpool import divided, seed_pool
from toprope.climb.rundir import RunDir, RunDirError
from toprope.climb.status import Watch
from toprope.climb.training import memory
from toprope.climb.training.distilling import Distiller
from toprope.climb.training.learner import Learner
from toprope.climb.training.longest import longest_row
from toprope.climb.training.room import require_room
from toprope.grading import Grader
from toprope.ledger.pool import HELD_BACK
from toprope.ledger.rows import TaskRow
from toprope.ledger.store import LEDGER_NAME, Ledger
from toprope.policy.adapters import add_adapters
from toprope.policy.device import find_device
from toprope.policy.load import load_model, load_tokenizer, load_weights
from toprope.policy.supported import require_supported
from toprope.policy.whitebox import load_whitebox
from toprope.sandbox import Sandbox
from toprope.tasks import Taskset
from toprope.teacher.live import LiveTeacher
from toprope.teacher.protocol import Spend, Teacher
from toprope.teacher.recorded import RecordedTeacher
from toprope.terms import Split, Task


def assemble(
    config: ClimbConfig,
    folder: RunDir,
    *,
    taskset: Taskset,
    student: Path,
    teacher: Teacher | None,
    sandbox: Sandbox,
    watch: Watch,
    whitebox: Path | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Crew:
    """Return the crew of a run whose folder is already claimed; `whitebox` is rung 7's model.

    `say` hears how the learner's steps are cut.

    Raises:
        TopropeError: the student does not fit in memory, or what it needs is missing.
    """
    suite = load_texts(config.evaluation.forgetting)
    memory.keep_freed_memory()
    if config.limits.threads:
        torch.set_num_threads(config.limits.threads)
    torch.manual_seed(config.seed)
    ledger = Ledger.open(folder.path / LEDGER_NAME, create=True)
    _require_same(ledger, folder, taskset)
    if isinstance(teacher, LiveTeacher):
        teacher.keep_in(TeacherAnswers(ledger.journal))
    elif isinstance(teacher, RecordedTeacher):
        teacher.remember(used_attempts(ledger))
    heldout = choose.heldout_panel(taskset.tasks, config.evaluation.heldout_tasks, config.seed)
    _register(ledger, config, taskset)
    ledger.record_facts(
        {
            **_facts(config, folder, taskset, student, sandbox),
            **({} if whitebox is None else {"whitebox": whitebox.name}),
            "teacher_parameters": teacher.parameters if teacher is not None else None,
            "teacher_priced": config.teacher.kind != "openai" or price(config.teacher).known,
        }
    )
    require_room(student, config.student)
    tokenizer = load_tokenizer(student)
    model = load_model(student, dtype=config.student.dtype, device=config.student.device)
    require_supported(model)
    if config.student.lora_rank:
        add_adapters(model, config.student.lora_rank, seed=config.seed)
    meters, shape = Meters(), Shape.of(model)
    grader = Grader(sandbox)

    def player(policy: Any, *, base: bool = False) -> Plays:
        inside = open_sampler(policy, tokenizer, config, base=base)
        sampler = behind(inside, config, folder.path / "adapters", ledger)
        return open_player(config, tokenizer, sampler, grader, ledger, meters, shape)

    learner = Learner(model, tokenizer, config, meters, shape, exact=_exact(config, student))
    learner.health.say = say
    train, _ = divided(taskset.split(Split.TRAIN), config)
    vocabulary = model.config.vocab_size
    learner.fitting.open(ledger, say, lambda: longest_row(train, tokenizer, config, vocabulary))
    distiller = None
    if whitebox is not None:
        target = load_whitebox(whitebox, tokenizer, device=config.student.device)
        distiller = Distiller(learner, target, ledger)

    return Crew(
        config=config,
        taskset=taskset,
        folder=folder,
        student=student,
        ledger=ledger,
        meters=meters,
        player=player(model),
        learner=learner,
        ladder=build_ladder(
            config,
            teacher,
            tokenizer,
            lambda: ledger.last_note(ASKED) is not None,
            lambda: seed_pool(taskset.split(Split.TRAIN), config, ledger),
            later=lambda: later_round(ledger.db, config),
            may_read=distiller.may_read if distiller is not None else lambda: True,
        ),
        base_player=_later(lambda: player(_base(config, student, model), base=True)),
        watch=watch,
        heldout=heldout,
        teacher=teacher,
        distiller=distiller,
        suite=suite,
    )


def used_attempts(ledger: Ledger) -> dict[str, Spend]:
    """Return what the attempts of a teacher cost that this run has used, by their ids."""
    rows = ledger.db.execute(
        "SELECT call_id, prompt_tokens + completion_tokens, cost_usd FROM teacher_calls"
    )
    return {call_id: Spend(1, tokens, usd) for call_id, tokens, usd in rows}


def _exact(config: ClimbConfig, student: Path) -> dict[str, Any]:
    """Return the student's weights as stored, where they will be trained; adapters start anew."""
    return {} if config.student.lora_rank else load_weights(student)


def _base(config: ClimbConfig, student: Path, model: Any) -> Any:
    """Return a model to sample the frozen base from: a second one only if weights are trained."""
    if config.student.lora_rank:
        return model
    return load_model(student, dtype=config.student.dtype, device=config.student.device)


def _register(ledger: Ledger, config: ClimbConfig, taskset: Taskset) -> None:
    """Make the tasks of a new run known; the facts, written after this, say that they are."""
    if ledger.facts().get("taskset") is None:
        ledger.register_tasks(task_row(task, at) for at, task in enumerate(taskset.ordinary))
        _, aside = divided(taskset.split(Split.TRAIN), config)
        waiting = held_back(taskset, config)
        ledger.set_aside(task.id for task in (*aside, *waiting))
        if waiting:
            ledger.record_facts({HELD_BACK: len(waiting)})


def _require_same(ledger: Ledger, folder: RunDir, taskset: Taskset) -> None:
    """Refuse to go on with a run whose tasks have changed since."""
    begun = ledger.facts().get("taskset")
    if begun is not None and not taskset.known_as(begun["hash"]):
        raise RunDirError(
            f"{folder.path} holds a run on another version of taskset {begun['name']}: "
            "bring that taskset back, or choose another folder with --run"
        )


def _later(make: Callable[[], Plays]) -> Callable[[], Plays]:
    """Make the frozen base's player when it is first asked for: it may cost a second model."""
    made: list[Plays] = []

    def get() -> Plays:
        if not made:
            made.append(make())
        return made[0]

    return get


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

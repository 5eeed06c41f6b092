"""Assembles a crew from settings: the taskset, the student, the walls, the teacher, the ledger."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from toprope.climb.config import ClimbConfig
from toprope.climb.crew import Crew
from toprope.climb.episodes.play import Plays
from toprope.climb.episodes.players import open_player
from toprope.climb.episodes.sampling import behind, open_sampler
from toprope.climb.help.helping import ASKED
from toprope.climb.help.rounds import later_round
from toprope.climb.help.rungs import build_ladder
from toprope.climb.meters import Meters, Shape
from toprope.climb.opening import open_ledger
from toprope.climb.pool import choose
from toprope.climb.pool.seedpool import divided, seed_pool
from toprope.climb.rundir import RunDir
from toprope.climb.status import Watch
from toprope.climb.texts import load_texts
from toprope.climb.training import memory
from toprope.climb.training.distilling import Distiller
from toprope.climb.training.learner import Learner
from toprope.climb.training.longest import longest_row
from toprope.climb.training.room import require_room
from toprope.grading import Grader
from toprope.ladder.ladder import Ladder
from toprope.ledger.store import Ledger
from toprope.policy.adapters import add_adapters
from toprope.policy.load import load_model, load_tokenizer, load_weights
from toprope.policy.supported import require_supported
from toprope.policy.whitebox import load_whitebox
from toprope.sandbox import Sandbox
from toprope.tasks import Taskset
from toprope.teacher.protocol import Teacher
from toprope.terms import Split


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
    ledger = open_ledger(
        config, folder, taskset=taskset, student=student, teacher=teacher, sandbox=sandbox,
        whitebox=whitebox,
    )  # fmt: skip
    require_room(student, config.student)
    tokenizer, model = load_tokenizer(student), _student(config, student)
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
    distiller = _distiller(config, whitebox, learner, ledger)
    return Crew(
        config=config,
        taskset=taskset,
        folder=folder,
        student=student,
        ledger=ledger,
        meters=meters,
        player=player(model),
        learner=learner,
        ladder=_ladder(config, taskset, ledger, teacher, distiller, tokenizer),
        base_player=_later(lambda: player(_base(config, student, model), base=True)),
        watch=watch,
        heldout=choose.heldout_panel(taskset.tasks, config.evaluation.heldout_tasks, config.seed),
        teacher=teacher,
        distiller=distiller,
        suite=suite,
    )


def _student(config: ClimbConfig, folder: Path) -> Any:
    """Return the model that climbs, with adapters where the settings ask for them."""
    model = load_model(folder, dtype=config.student.dtype, device=config.student.device)
    require_supported(model)
    if config.student.lora_rank:
        add_adapters(model, config.student.lora_rank, seed=config.seed)
    return model


def _distiller(
    config: ClimbConfig, whitebox: Path | None, learner: Learner, ledger: Ledger
) -> Distiller | None:
    if whitebox is None:
        return None
    target = load_whitebox(whitebox, learner.tokenizer, device=config.student.device)
    return Distiller(learner, target, ledger)


def _ladder(
    config: ClimbConfig,
    taskset: Taskset,
    ledger: Ledger,
    teacher: Teacher | None,
    distiller: Distiller | None,
    tokenizer: Any,
) -> Ladder:
    return build_ladder(
        config,
        teacher,
        tokenizer,
        lambda: ledger.last_note(ASKED) is not None,
        lambda: seed_pool(taskset.split(Split.TRAIN), config, ledger),
        later=lambda: later_round(ledger.db, config),
        may_read=distiller.may_read if distiller is not None else lambda: True,
    )


def _exact(config: ClimbConfig, student: Path) -> dict[str, Any]:
    """Return the student's weights as stored, where they will be trained; adapters start anew."""
    return {} if config.student.lora_rank else load_weights(student)


def _base(config: ClimbConfig, student: Path, model: Any) -> Any:
    """Return a model to sample the frozen base from: a second one only if weights are trained."""
    if config.student.lora_rank:
        return model
    return load_model(student, dtype=config.student.dtype, device=config.student.device)


def _later(make: Callable[[], Plays]) -> Callable[[], Plays]:
    """Make the frozen base's player when it is first asked for: it may cost a second model."""
    made: list[Plays] = []

    def get() -> Plays:
        if not made:
            made.append(make())
        return made[0]

    return get

"""Everything a climb works with, in one place: made by `start.py`, used by the loop.

Holds parts and answers small questions about them; decides nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from toprope.climb.config import ClimbConfig
from toprope.climb.episodes.play import Plan, Player, Plays
from toprope.climb.help.coldtasks import cold_tasks
from toprope.climb.meters import Meters
from toprope.climb.pool.reserve import held_back
from toprope.climb.pool.seedpool import divided
from toprope.climb.rundir import RunDir
from toprope.climb.status import Watch
from toprope.climb.texts import Texts
from toprope.climb.training.distilling import Distiller
from toprope.climb.training.learner import Learner
from toprope.ladder.ladder import Ladder
from toprope.ladder.rung import Cold
from toprope.ledger import states
from toprope.ledger.store import Ledger
from toprope.tasks import Taskset
from toprope.teacher import Teacher
from toprope.terms import Episode, Mode, Split, State, Task


@dataclass
class Crew:
    """The parts of a run."""

    config: ClimbConfig
    taskset: Taskset
    folder: RunDir
    student: Path
    ledger: Ledger
    meters: Meters
    player: Plays
    learner: Learner
    ladder: Ladder
    base_player: Callable[[], Plays]
    watch: Watch
    heldout: Sequence[Task]
    teacher: Teacher | None = None
    distiller: Distiller | None = None
    suite: Texts | None = None
    version: int = 0
    episodes: list[Episode] = field(default_factory=list)

    def __post_init__(self) -> None:
        pool, _ = divided(self.taskset.split(Split.TRAIN), self.config)
        self.reserve = held_back(self.taskset, self.config)
        waiting = {task.id for task in self.reserve}
        self.train = [task for task in pool if task.id not in waiting]
        self.dev = self.taskset.split(Split.DEV)[: self.config.evaluation.dev_tasks]
        self.by_id = {task.id: task for task in self.taskset.tasks}

    def play(
        self,
        plans: Sequence[Plan],
        iteration: int,
        *,
        mode: Mode = Mode.PLAIN,
        rung: str = "",
        phase: str = "sample",
    ) -> list[list[Episode]]:
        """Play plans at the current version and keep their episodes for the run directory."""
        groups = self.player.play(
            plans, iteration=iteration, version=self.version, mode=mode, rung=rung, phase=phase
        )
        self.keep(groups)
        return groups

    @property
    def answers(self) -> Player:
        """The player of a student that answers once; the settings keep others from needing it."""
        assert isinstance(self.player, Player)
        return self.player

    def keep(self, groups: Sequence[Sequence[Episode]]) -> None:
        """Add episodes to those that the iteration's commit will write out."""
        self.episodes += [episode for group in groups for episode in group]

    def ever_cold(self) -> list[str]:
        """Return the tasks that were ever found cold, in taskset order."""
        found = {c.task_id for c in self.ledger.transitions() if c.after is State.COLD}
        return [task.id for task in self.taskset.split(Split.TRAIN) if task.id in found]

    def cold(self) -> list[Cold]:
        """Return the cold and parked tasks as the ladder wants to see them."""
        return cold_tasks(self.ledger.db, self.by_id)

    def plain_rate(self, task_id: str) -> states.Draws:
        """Return a task's plain draws of the newest look at it, as one chunk."""
        chunks = self.ledger.plain_draws(task_ids=[task_id]).get(task_id, [])
        if not chunks:
            return states.Draws(self.version, 0, 0)
        newest = [c for c in chunks if c.version == chunks[-1].version]
        return states.Draws(
            newest[-1].version, sum(c.successes for c in newest), sum(c.draws for c in newest)
        )

"""Replays what the student solved by itself when the cold tasks were looked at again.

A seed's yield is what it thaws by transfer. Each thawed task comes with verified successes that
no teacher was paid for; imitated as the seeds were, they make a habit of what was now and then.
"""

from __future__ import annotations

from collections.abc import Sequence

from toprope.climb.crew import Crew
from toprope.climb.help.practice import own_successes
from toprope.ladder.ladder import SAMPLES
from toprope.ladder.rung import Cold
from toprope.ledger.rows import SELF, Seed
from toprope.terms import Episode


def replay(crew: Crew, iteration: int, groups: Sequence[Sequence[Episode]]) -> bool:
    """Imitate at most `seeding.replay` distinct successes of each group; return whether any was.

    `groups` are plain draws as they count. The rows booked are the student's own: no teacher token.
    """
    settings = crew.config.seeding
    solved = (own_successes(crew, group) for group in replayable(groups, crew.cold()))
    demos = [demo for found in solved for demo in found[: settings.replay]]
    if not demos:
        return False
    crew.learner.imitate(demos, seed=crew.config.seed)
    crew.version += 1
    crew.ledger.record_seeds(
        Seed(
            iteration, 0, demo.task.id, SAMPLES, demo.attempt_id, SELF,
            len(demo.ids) * settings.epochs,
        )
        for demo in demos
    )  # fmt: skip
    return True


def replayable(
    groups: Sequence[Sequence[Episode]], cold: Sequence[Cold]
) -> list[Sequence[Episode]]:
    """Return the groups that may be imitated: all but those of the control that are still cold.

    What thaws of the never-seeded must be transfer, and not practice on the task itself.
    """
    control = {one.task.id for one in cold if one.never_seeded}
    return [group for group in groups if group and group[0].task_id not in control]

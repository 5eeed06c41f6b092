"""Replays what the student solved by itself when the cold tasks were looked at again.

A seed's yield is what it thaws by transfer. Each thawed task comes with verified successes that
no teacher was paid for; imitated as the seeds were, they make a habit of what was now and then.
"""

from __future__ import annotations

from collections.abc import Sequence

from toprope.climb.crew import Crew
from toprope.climb.practice import own_successes
from toprope.ladder.ladder import SAMPLES
from toprope.ledger.rows import SELF, Seed
from toprope.terms import Episode


def replay(crew: Crew, iteration: int, groups: Sequence[Sequence[Episode]]) -> bool:
    """Imitate at most `seeding.replay` distinct successes of each group; return whether any was.

    `groups` are plain draws as they count. The rows booked are the student's own: no teacher token.
    """
    settings = crew.config.seeding
    demos = [demo for group in groups for demo in own_successes(crew, group)[: settings.replay]]
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

"""Makes whoever plays a student's episodes: answers of one turn, or episodes over several."""

from __future__ import annotations

import os
from typing import Any

from toprope.climb.config import ClimbConfig
from toprope.climb.episodes.journal import Journal
from toprope.climb.episodes.overlapping import overlaps
from toprope.climb.episodes.play import Player, Plays
from toprope.climb.episodes.turndeeds import Deeds
from toprope.climb.episodes.turnplay import TurnPlayer
from toprope.climb.meters import Meters, Shape
from toprope.grading import Grader
from toprope.harness.dialect import DIALECTS
from toprope.harness.turns import TURN_DIALECTS, TurnLimits
from toprope.harness.turns.template import Template
from toprope.policy.asks import Sampler
from toprope.policy.device import threads


def open_player(
    config: ClimbConfig,
    tokenizer: Any,
    sampler: Sampler,
    grader: Grader,
    journal: Journal,
    meters: Meters,
    shape: Shape,
) -> Plays:
    """Return the player that the settings ask for.

    Raises:
        TemplateRewrites: the student's chat template cannot carry episodes over turns.
    """
    if not config.turns.dialect:
        dialect = DIALECTS[config.student.dialect]
        overlap = overlaps(config, threads(), len(os.sched_getaffinity(0)))
        return Player(dialect, tokenizer, sampler, grader, journal, meters, shape, overlap)
    over_turns = TURN_DIALECTS[config.turns.dialect]
    deeds = Deeds(over_turns, grader.sandbox, journal, turn_limits(config), grader.retries)
    return TurnPlayer(
        template=Template(tokenizer),
        dialect=over_turns,
        deeds=deeds,
        sampler=sampler,
        grader=grader,
        ledger=journal,
        meters=meters,
        shape=shape,
        context=config.turns.context,
        longest=config.student.max_tokens,
    )


def turn_limits(config: ClimbConfig) -> TurnLimits:
    """Return what an episode over turns may use."""
    turns = config.turns
    return TurnLimits(
        turns=turns.most,
        tokens=turns.tokens,
        seconds=turns.seconds,
        command_s=turns.command_s,
        observation=turns.observation,
        unreadable=turns.unreadable,
    )

"""Demonstrations over turns: verified results told in the student's dialect, and done for real.

What a student would have seen is what its rooms show it, so a demonstration's observations
come from doing it; one that comes to other files than were verified is dropped and counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from toprope.climb.crew import Crew
from toprope.climb.episodes.turnplay import Told, TurnPlayer
from toprope.harness.turns.retell import retold
from toprope.ladder.rung import Demonstration

DROPPED = "dropped_demonstrations"  # the note of how many could not be done over turns


def as_done(
    crew: Crew, iteration: int, demonstrations: Sequence[Demonstration]
) -> list[Demonstration]:
    """Return the demonstrations as they are learned from: over turns, with what was seen."""
    player = crew.player
    if not isinstance(player, TurnPlayer):
        return list(demonstrations)
    told = [(demo, _told(crew, iteration, demo)) for demo in demonstrations]
    streams = player.replay([one for _, one in told if one is not None])
    done = iter(streams)
    found = []
    for demo, one in told:
        stream = next(done) if one is not None else None
        if stream is not None:
            laid = stream.laid()
            found.append(replace(demo, prompt_ids=stream.prompt_ids, turns=laid))
    crew.ledger.note(iteration, DROPPED, len(demonstrations) - len(found))
    return found


def _told(crew: Crew, iteration: int, demo: Demonstration) -> Told | None:
    messages = retold(crew.config.turns.dialect, demo.task, demo.action)
    if messages is None:
        return None
    return Told(f"seed/{iteration}/{demo.attempt_id}", demo.task, demo.action, tuple(messages))

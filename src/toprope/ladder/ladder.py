"""The ladder: which rungs are tried on the cold tasks of an iteration, and in what order."""

from __future__ import annotations

from collections.abc import Sequence

from toprope.ladder.rung import Cold, Help, Rung

MALFORMED_POOL = 0.9


class Ladder:
    """Rungs, cheapest first: a dearer rung sees a task only after more samples did not help.

    Unless nearly the whole pool is malformed: then what is missing is the protocol, more
    samples of nothing help nobody, and the dearer rungs see every cold task at once.
    """

    def __init__(self, rungs: Sequence[Rung]) -> None:
        self.rungs = sorted(rungs, key=lambda rung: rung.number)

    @property
    def numbers(self) -> tuple[str, ...]:
        """The rungs that are allowed, by number."""
        return tuple(rung.number for rung in self.rungs)

    def help(self, cold: Sequence[Cold], *, iteration: int, malformed_share: float) -> list[Help]:
        """Return the help that each rung gives now; empty when nothing is cold or due."""
        protocol_missing = malformed_share >= MALFORMED_POOL
        piloted = [c for c in cold if c.pilots or protocol_missing]
        given: list[Help] = []
        for rung in self.rungs:
            help_ = rung.help(cold if rung.number == "0" else piloted, iteration=iteration)
            if help_ is None:
                continue
            if help_.demonstrations:
                return [help_]  # the policy changes: pilots of the old one would be void
            given.append(help_)
        return given

    def waiting(self, cold: Sequence[Cold]) -> bool:
        """Return whether some rung is still to change the policy before RL may start."""
        return any(rung.waiting(cold) for rung in self.rungs)

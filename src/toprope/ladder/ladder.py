"""The ladder: which rungs are tried on the cold tasks of an iteration, and in what order."""

from __future__ import annotations

from collections.abc import Sequence

from toprope.ladder.rung import Cold, Help, Rung

MALFORMED_POOL = 0.9
SAMPLES, DEMONSTRATION = "0", "6"


class Ladder:
    """Rungs, cheapest first: a dearer rung sees a task only after more samples did not help.

    Of the rungs above, a task gets the cheapest that its diagnosis suits and that has not
    given up on it, and leaves it with its first thaw. Demonstrations are given once, or in
    rounds: they wait until no cheaper rung is at work, or until there are tasks enough for all of
    them; a dearer rung than they are waits until those that are due are given.

    Unless nearly the whole pool is malformed: then what is missing is the protocol, more
    samples of nothing help nobody, and the demonstrations see every cold task at once.
    """

    def __init__(self, rungs: Sequence[Rung]) -> None:
        self.rungs = sorted(rungs, key=lambda rung: rung.number)
        self.between = [r for r in self.rungs if SAMPLES < r.number < DEMONSTRATION]
        self.practised = [r for r in self.rungs if r.number not in (SAMPLES, DEMONSTRATION)]

    @property
    def numbers(self) -> tuple[str, ...]:
        """The rungs that are allowed, by number."""
        return tuple(rung.number for rung in self.rungs)

    def turn_of(self, cold: Cold) -> Rung | None:
        """Return the cheapest rung below the demonstrations that can help a task now, or None."""
        if cold.never_seeded:
            return None
        able = (r for r in self.between if r.suits(cold) and not r.gave_up(cold))
        return next(able, None)

    def exhausted(self, cold: Cold) -> bool:
        """Return whether every rung above more samples has given up on a task."""
        return all(rung.gave_up(cold) for rung in self.rungs if rung.number != SAMPLES)

    def help(self, cold: Sequence[Cold], *, iteration: int, malformed_share: float) -> list[Help]:
        """Return the help that each rung gives now; empty when nothing is cold or due."""
        protocol_missing = malformed_share >= MALFORMED_POOL
        piloted = [c for c in cold if c.pilots or protocol_missing]
        straight = protocol_missing and any(
            r.number >= DEMONSTRATION and r.waiting(cold) for r in self.rungs
        )
        turns = {} if straight else self._turns(piloted)
        given: list[Help] = []
        for rung in self.rungs:
            mine = cold if rung.number == SAMPLES else turns.get(rung.number, [])
            if rung.number >= DEMONSTRATION:
                mine = self._left_over(piloted, turns, rung)
            if rung.number > DEMONSTRATION and any(r.waiting(cold) for r in self.rungs):
                continue
            help_ = rung.help(mine, iteration=iteration)
            if help_ is None:
                continue
            if help_.demonstrations:
                return [help_]  # the policy changes: pilots of the old one would be void
            given.append(help_)
        return given

    def waiting(self, cold: Sequence[Cold]) -> bool:
        """Return whether some rung is still to change the policy before RL may start.

        Where cheaper rungs work on cold tasks, RL on live ones goes on beside them.
        """
        return not self.between and any(rung.waiting(cold) for rung in self.rungs)

    def _turns(self, cold: Sequence[Cold]) -> dict[str, list[Cold]]:
        """Return by rung the tasks whose turn it has."""
        turns: dict[str, list[Cold]] = {}
        for one in cold:
            rung = self.turn_of(one)
            if rung is not None:
                turns.setdefault(rung.number, []).append(one)
        return turns

    def _left_over(
        self, cold: Sequence[Cold], turns: dict[str, list[Cold]], rung: Rung
    ) -> list[Cold]:
        """Return the tasks that no cheaper rung can help, once there are enough of them."""
        busy = {c.task.id for tasks in turns.values() for c in tasks}
        free = [c for c in cold if c.task.id not in busy]
        enough = sum(not c.never_seeded for c in free) >= getattr(rung, "wanted", 0)
        return free if enough or not busy else []

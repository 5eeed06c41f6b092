"""Does turns in rooms of a sandbox, many at once, each once: the journal knows what was done.

A failure of ours is tried again from the files as the last turn left them; what fails every
time is lost, and when nothing can be done any more, whoever asks is stopped.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

from toprope.climb.episodes.journal import Journal
from toprope.climb.episodes.underway import CRASHED, UnderWay
from toprope.harness.turns.act import Acted, act
from toprope.harness.turns.dialects import TurnDialect
from toprope.harness.turns.play import TurnLimits
from toprope.sandbox import Sandbox, WorkerDied
from toprope.terms import InfraError, TopropeError

_IN_A_ROW = 20
_FIRST_PAUSE_S = 0.05


class TurnsFail(TopropeError):
    """So many turns could not be done that going on would only lose episodes."""


@dataclass
class Deeds:
    """The rooms that turns are done in, and what a turn may use there."""

    dialect: TurnDialect
    sandbox: Sandbox
    journal: Journal
    limits: TurnLimits
    retries: int = 2
    _lost: int = 0  # in a row

    def done(self, said: Sequence[tuple[UnderWay, str]]) -> list[Acted | None]:
        """Return what became of each message, in order; None where we failed to do it.

        Raises:
            TurnsFail: the last 20 turns were all lost.
        """
        keys = [one.key("turn") for one, _ in said]
        found = {key: _acted(kept) for key, kept in self.journal.journal_get(keys).items()}
        missing = [at for at, key in enumerate(keys) if key not in found]
        with ThreadPoolExecutor(self.sandbox.workers, "turns") as pool:
            fresh = list(pool.map(lambda at: self._do(*said[at]), missing))
        done = {keys[at]: one for at, one in zip(missing, fresh, strict=True) if one is not None}
        self.journal.journal_put({key: asdict(one) for key, one in done.items()})
        found.update(done)
        for at, acted in zip(missing, fresh, strict=True):
            self._notice(acted, said[at][0])
        return [found.get(key) for key in keys]

    def _do(self, one: UnderWay, text: str) -> Acted | None:
        if one.cut:
            told = f"Your answer was cut off after {len(one.said)} tokens: say less in a turn."
            return Acted((), told, one.files, "", 0.0)
        deaths = 0
        for again in range(self.retries + 1):
            time.sleep(_FIRST_PAUSE_S * (2**again - 1))
            try:
                return act(
                    one.id, one.task, self.dialect, text, one.files, self.sandbox, self.limits
                )
            except WorkerDied:
                deaths += 1
                if deaths == 2:  # else crashing us would be a way out of failing
                    return Acted((), "", one.files, CRASHED, 0.0)
            except InfraError:
                continue
        return None

    def _notice(self, acted: Acted | None, one: UnderWay) -> None:
        self._lost = self._lost + 1 if acted is None else 0
        if self._lost >= _IN_A_ROW:
            raise TurnsFail(
                f"the last {self._lost} turns could not be done, the newest of {one.id}. "
                "`toprope sandbox probe` looks at the walls; when it is mended, run the same "
                "command to go on"
            )


def _acted(kept: Mapping[str, Any]) -> Acted:
    return Acted(**{**kept, "actions": tuple(kept["actions"])})

"""What a user can ask of `solve`, refused where it contradicts itself."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from toprope.harness.dialect import DIALECTS
from toprope.harness.turns import TURN_DIALECTS
from toprope.solve.budget import Limits
from toprope.terms import TopropeError

ANSWERS, OVER_TURNS = 64, 4  # attempts, where the user names no number


class WrongQuestion(TopropeError):
    """What was asked makes no sense together; the message says what to change."""


@dataclass(frozen=True)
class Asked:
    """The options of `toprope solve`; exactly one of `model` and `endpoint` is given.

    `test` names failing tests to mend, `suite` the paths that pytest runs, else all it finds.
    `dialect` "" is the one that a trained model brings, `rewrite` for another model here and
    `blocks` for an endpoint. `lines` is over turns for an endpoint and of one answer else.
    `temperature` None is 1 for answers and 0.7 over turns.
    """

    folder: Path
    test: tuple[str, ...] = ()
    suite: tuple[str, ...] = ()
    python: str = ""
    setup: str = ""
    model: str = ""
    endpoint: str = ""
    model_name: str = ""
    dialect: str = ""
    limits: Limits = field(default_factory=Limits)
    suite_timeout_s: float = 600.0
    temperature: float | None = None
    seed: int = 0
    jobs: int = 2
    allow_secrets: tuple[str, ...] = ()
    unsafe_local: bool = False

    def __post_init__(self) -> None:
        known = {*DIALECTS, *TURN_DIALECTS}
        if bool(self.model) == bool(self.endpoint):
            raise WrongQuestion("who is to work? name one of --model and --endpoint")
        if self.dialect and self.dialect not in known:
            named = ", ".join(sorted(known))
            raise WrongQuestion(f"no dialect {self.dialect}: take one of {named}")
        if not self.limits.attempts:
            usual = OVER_TURNS if self.turns else ANSWERS
            object.__setattr__(self, "limits", replace(self.limits, attempts=usual))

    @property
    def turns(self) -> bool:
        """Whether the dialect that was asked for is one over turns."""
        if self.endpoint:
            return (self.dialect or "blocks") in TURN_DIALECTS
        return self.dialect in TURN_DIALECTS and self.dialect not in DIALECTS

    def drawn_at(self) -> float:
        """The temperature: as climbs sample for answers, lower over turns."""
        if self.temperature is not None:
            return self.temperature
        return 0.7 if self.turns else 1.0

"""Rung 7, logits: the student's own answers, each token drawn towards a white-box teacher.

On-policy distillation (arXiv:2306.13649; arXiv:2505.09388, section 4.5): reverse KL between the
two distributions at the contexts that the student came to itself. It needs no success, and no
unequal rewards. The teacher writes nothing; it reads what the student wrote.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from toprope.ladder.rung import Cold, Help, Practice, Use, in_turn
from toprope.ledger.diagnosis import Diagnosis
from toprope.terms import Mode

AGREED = 0.02  # nats an answer: by Pinsker's inequality the pass rates differ by at most .1
LOOKS = 2  # uses in a row that must agree; the divergence is an estimate from one group
STALLED = 3  # uses at either end whose mean divergence is compared


def divergence(use: Use) -> float | None:
    """Return the nats an answer that a use began with; None where nothing was learned."""
    told = use.setting.removesuffix(" nats")
    return float(told) if told != use.setting else None


def setting(nats: float) -> str:
    """Return what a use is booked as: the divergence that it found, in nats an answer."""
    return f"{nats:.4f} nats"


class Logits:
    """Plain groups of which every own token is drawn towards the teacher's distribution.

    `within` says whether the teacher may read more tokens.
    """

    number = "7"
    name = "logits"
    needs = "well-formed attempts, and a white-box teacher with the student's tokenizer"
    costs = "a forward pass of the teacher over a plain group, and a step on it"

    def __init__(self, *, tasks: int, patience: int, within: Callable[[], bool]) -> None:
        self.tasks, self.patience, self.within = tasks, patience, within

    def suits(self, cold: Cold) -> bool:
        """Return whether the student keeps to the form: else its answers end at the first token
        that is none, and all that they show the teacher is a token of prose, which it may like.
        """
        return cold.diagnosis in (Diagnosis.NEAR, Diagnosis.FAR)

    def gave_up(self, cold: Cold) -> bool:
        """Return whether the two agree, come no nearer, or all groups are used up.

        A student that answers as its teacher does has nothing more to learn from it
        (arXiv:2604.13016: distillation that does not raise agreement should stop).
        """
        uses = cold.given(self.number)
        found = [nats for nats in map(divergence, uses) if nats is not None]
        agreed = len(found) >= LOOKS and max(found[-LOOKS:]) <= AGREED
        early, late = found[:STALLED], found[-STALLED:]
        stalled = len(found) >= 2 * STALLED and sum(late) >= sum(early)
        return agreed or stalled or len(uses) >= self.patience

    def help(self, cold: Sequence[Cold], *, iteration: int) -> Help | None:
        """Return the groups to draw and to hold against the teacher."""
        able = [c for c in cold if not c.never_seeded and self.suits(c) and not self.gave_up(c)]
        chosen = in_turn(able, self.number, self.tasks)
        if not chosen or not self.within():
            return None
        groups = (Practice(c.task, Mode.PLAIN, distil=True) for c in chosen)
        return Help(self.number, practice=tuple(groups))

    def waiting(self, cold: Sequence[Cold]) -> bool:
        """Return False: reinforcement goes on beside it."""
        return False

"""Acting over several turns: actions, the dialects that spell them, the desk they are done at."""

from toprope.harness.turns.actions import Action, Unreadable
from toprope.harness.turns.dialects import TURN_DIALECTS, TurnDialect
from toprope.harness.turns.play import Answered, Played, Turn, TurnLimits, Unanswered, play

__all__ = [
    "TURN_DIALECTS",
    "Action",
    "Answered",
    "Played",
    "Turn",
    "TurnDialect",
    "TurnLimits",
    "Unanswered",
    "Unreadable",
    "play",
]

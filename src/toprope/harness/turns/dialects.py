"""Which dialects there are over turns, found by name; a new one is a module and a line here."""

from __future__ import annotations

from typing import Protocol

from toprope.harness.turns import bash_dialect, blocks_dialect, lines_dialect
from toprope.harness.turns.actions import Action, Unreadable


class TurnDialect(Protocol):
    """How actions are spelt in messages."""

    NAME: str
    SYSTEM: str

    def read(self, text: str) -> list[Action]:
        """Return the actions of a message, at least one, or raise `Unreadable`."""


TURN_DIALECTS: dict[str, TurnDialect] = {
    dialect.NAME: dialect for dialect in (lines_dialect, blocks_dialect, bash_dialect)
}


def reads(dialect: TurnDialect, message: str) -> bool:
    """Return whether a message holds an action."""
    try:
        dialect.read(message)
    except Unreadable:
        return False
    return True

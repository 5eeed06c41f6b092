"""Which dialects there are over turns, found by name; a new one is a module and a line here."""

from __future__ import annotations

from typing import Protocol

from toprope.harness.turns import bash_dialect, blocks_dialect, lines_dialect
from toprope.harness.turns.actions import Action


class TurnDialect(Protocol):
    """How actions are spelt in messages."""

    NAME: str
    SYSTEM: str

    def read(self, text: str) -> list[Action]:
        """Return the actions of a message, at least one, or raise `Unreadable`."""


TURN_DIALECTS: dict[str, TurnDialect] = {
    dialect.NAME: dialect for dialect in (lines_dialect, blocks_dialect, bash_dialect)
}

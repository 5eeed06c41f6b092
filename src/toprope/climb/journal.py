"""Where grades are kept as they arrive, so that none is made twice: a ledger, or nowhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol


class Journal(Protocol):
    """Answers by id; a run's ledger is one."""

    def journal_get(self, keys: Iterable[str]) -> dict[str, Any]:
        """Return the answers that already arrived."""

    def journal_put(self, answers: Mapping[str, Any]) -> None:
        """Keep answers by id; the first answer to an id stays."""


class Unkept:
    """A journal that keeps nothing, for measurements that are made outside a run."""

    def journal_get(self, keys: Iterable[str]) -> dict[str, Any]:
        """Return nothing."""
        return {}

    def journal_put(self, answers: Mapping[str, Any]) -> None:
        """Forget it."""

"""What a climb tells whoever watches it, as plain data; a terminal view is one watcher."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace


@dataclass(frozen=True, slots=True)
class Status:
    """Where a run stands. Rates are shares of 1; seconds are wall-clock."""

    iteration: int
    doing: str
    states: Mapping[str, int] = field(default_factory=dict)
    train_rate: float | None = None
    dev_rate: float | None = None
    mixed_groups: int | None = None
    groups: int | None = None
    teacher_share: float | None = None
    tokens_per_second: float | None = None
    seconds_spent: float = 0.0
    seconds_left: float | None = None
    line: str = ""

    def at(self, spent: float, left: float | None) -> Status:
        """Return the same with the clock filled in."""
        return replace(self, seconds_spent=spent, seconds_left=left)


Watch = Callable[[Status], None]


def unwatched(status: Status) -> None:
    """Watch nothing."""

"""Tasks of other makers that cannot run here: what they say, and why they need a container.

Plain data; it must not know the form that a task was read from.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Foreign:
    """A task that was read but cannot run here; `needs` says why, in a few words.

    `files` are those of its own that were at hand, path to text.
    """

    id: str
    statement: str = field(repr=False)
    needs: str
    files: Mapping[str, str] = field(default_factory=dict, repr=False)


def told(runnable: int, foreign: Iterable[Foreign]) -> str:
    """Return one line: how many tasks run here, how many do not, and why, commonest first."""
    reasons = Counter(task.needs for task in foreign).most_common()
    line = f"runnable here: {runnable}"
    if reasons:
        why = "; ".join(f"{reason}: {count}" for reason, count in reasons)
        line += f", need a container: {sum(count for _, count in reasons)} ({why})"
    return line

"""Tasks that cannot run here: what they say, and why they need a container.

Plain data; it must not know the form that a task was read from.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from toprope.terms import Environment, Task, TopropeError

Lacking = Callable[[Environment], str]


@dataclass(frozen=True, slots=True)
class Foreign:
    """A task that was read but cannot run here; `needs` says why, in a few words.

    `files` are those of its own that were at hand, path to text.
    """

    id: str
    statement: str = field(repr=False)
    needs: str
    files: Mapping[str, str] = field(default_factory=dict, repr=False)


class NeedsContainer(TopropeError):
    """Tasks that are all to run here, and do not; the message counts them by reason."""


def divided(
    tasks: Iterable[Task], environments: Mapping[str, Environment], lacking: Lacking
) -> tuple[list[Task], list[Foreign]]:
    """Return the tasks that run here, and those whose environment does not.

    `lacking` says why an environment cannot be had, "" where it can; each is asked about once.
    """
    reasons: dict[str, str] = {}
    here: list[Task] = []
    foreign: list[Foreign] = []
    for task in tasks:
        name = task.suite.environment if task.suite else ""
        if name not in reasons:
            reasons[name] = lacking(environments[name]) if name in environments else ""
        if reasons[name]:
            foreign.append(Foreign(task.id, task.statement, reasons[name], task.files))
        else:
            here.append(task)
    return here, foreign


def refuse_foreign(
    tasks: Iterable[Task], environments: Mapping[str, Environment], lacking: Lacking
) -> None:
    """Raise `NeedsContainer` if one of the tasks cannot run here."""
    here, foreign = divided(tasks, environments, lacking)
    if foreign:
        raise NeedsContainer(
            f"{told(len(here), foreign)}; `toprope sandbox probe` names the engines that are "
            "here: mend or fetch what is missing, or leave these tasks out"
        )


def told(runnable: int, foreign: Iterable[Foreign]) -> str:
    """Return one line: how many tasks run here, how many do not, and why, commonest first."""
    reasons = Counter(task.needs for task in foreign).most_common()
    line = f"runnable here: {runnable}"
    if reasons:
        why = "; ".join(f"{reason}: {count}" for reason, count in reasons)
        line += f", need a container: {sum(count for _, count in reasons)} ({why})"
    return line

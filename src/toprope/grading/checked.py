"""What a check of many tasks found, counted by where they come from, and what to do about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from toprope.grading.prove import Fault, Proof
from toprope.terms import PLAIN, PYTEST, InfraError, Task

INFRA = "infra"
NOT_HERE = str(Fault.NOT_HERE)
IMPOSSIBLE = "impossible"

ADVICE = {
    Fault.FIX_FAILS: "mend its `solution` or its tests, or leave it out; `toprope tasks show ID`",
    Fault.START_PASSES: "its tests do not notice the fault: name those that do as FAIL_TO_PASS",
    Fault.START_BREAKS: "take the tests that fail unchanged out of PASS_TO_PASS",
    Fault.RENAMED: "bring back the versions it was made with, or make the taskset anew here",
    Fault.FLAKY: "its tests depend on more than the code (time, order, chance): leave it out",
    Fault.NO_FIX: "add its `solution`; without one nobody knows that it can be solved",
    Fault.SOLVABLE: "its tests do not contradict each other here: leave it out",
    Fault.RUNNER: 'take "runner": "plain" out of its tests',
    Fault.UNGRADABLE: "mend the row; see docs/tasksets.md for the keys",
    Fault.NOT_HERE: "describe its environment in environment.toml beside the taskset, or make "
    "the taskset on this machine",
    INFRA: "failures of ours: check it again; `toprope sandbox probe` looks at the walls",
}
_KNOWN = {str(fault): text for fault, text in ADVICE.items()}


@dataclass(frozen=True, slots=True)
class Checked:
    """One task and what came of its proof: `fault` is "" if it holds, else a key of `ADVICE`."""

    task: Task
    fault: str
    why: str
    seconds: float | None
    runner: str = PYTEST

    @property
    def advice(self) -> str:
        """What to do about it."""
        return _KNOWN.get(self.fault, "")

    @property
    def quicker(self) -> bool:
        """Whether the quick runner would do, and the task does not ask for it."""
        return self.task.suite is not None and self.task.suite.runner != self.runner == PLAIN


Place = tuple[str, str, str, str]  # split, tier, source, environment


@dataclass(slots=True)
class Row:
    """The tasks of one place; `tests` and `seconds` are sums over them."""

    place: Place
    tasks: int = 0
    proven: int = 0
    tests: int = 0
    seconds: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)

    def add(self, one: Checked) -> None:
        """Count one more task."""
        self.tasks += 1
        self.proven += not one.fault
        self.faults.update([one.fault] if one.fault else [])
        self.tests += len(one.task.fail_to_pass) + len(one.task.pass_to_pass)
        self.seconds += one.seconds or 0.0


def checked(tasks: Sequence[Task], proofs: Sequence[Proof | InfraError]) -> list[Checked]:
    """Return what `prove_many` said of each task, failures of ours among them."""
    return [
        Checked(task, INFRA, str(proof), None)
        if isinstance(proof, InfraError)
        else Checked(task, str(proof.fault or ""), proof.why, proof.seconds, proof.runner)
        for task, proof in zip(tasks, proofs, strict=True)
    ]


def rows(found: Iterable[Checked], most: int) -> list[Row]:
    """Return the counts by split, tier, source and environment, in the order of the tasks.

    Where that is more than `most` rows, the sources are put together, and counted.
    """
    found = list(found)
    by_source = _counted(found, lambda task: task.source.package or "by hand")
    if len(by_source) <= most:
        return by_source
    sources = len({one.task.source.package for one in found})
    return _counted(found, lambda task: f"{sources} sources")


def _counted(found: Iterable[Checked], source: Callable[[Task], str]) -> list[Row]:
    counted: dict[Place, Row] = {}
    for one in found:
        task = one.task
        split = IMPOSSIBLE if task.impossible else str(task.split)
        tier = "" if task.impossible else str(task.tier or "")
        place = (split, tier, source(task), environment(task))
        counted.setdefault(place, Row(place)).add(one)
    return list(counted.values())


def environment(task: Task) -> str:
    """Return what the task is graded in: calls, or a suite in a named environment."""
    return "calls" if task.suite is None else task.suite.environment or "toprope's own"

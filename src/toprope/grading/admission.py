"""Which tasks an evaluation may draw: those that are not shown to be broken.

Knows tasks, proofs and sandboxes. It must not know who is evaluated or when.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from toprope.grading.grader import Grader
from toprope.grading.prove import Fault, Proof
from toprope.grading.prove_many import prove_many
from toprope.terms import InfraError, Task

# What leaves a task unproven, and yet does not show that nobody can pass it honestly.
_OPEN = (Fault.NO_FIX, Fault.NOT_HERE)


@dataclass(frozen=True, slots=True)
class Admission:
    """Which of the tasks asked about hold what they promise, by id; of the others, why not.

    `unproven` ones (no reference fix, or failures of ours) are drawn all the same, `broken`
    ones never: a pass rate over them would say nothing of whoever was evaluated.
    """

    proven: tuple[str, ...] = ()
    broken: Mapping[str, str] = field(default_factory=dict)
    unproven: Mapping[str, str] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)


def admit(tasks: Sequence[Task], grader: Grader) -> Admission:
    """Prove each task once, over all workers; impossible ones must hold as such.

    What does not hold is proven again, after all others: to be called
    broken for a run that a busy moment ended would take a sound task out of every point.
    """
    proofs = _proofs(tasks, grader)
    failed = [at for at, proof in enumerate(proofs) if isinstance(proof, Proof) and not proof.ok]
    for at, again in zip(failed, _proofs([tasks[at] for at in failed], grader), strict=True):
        proofs[at] = again
    proven, broken, unproven = list[str](), dict[str, str](), dict[str, str]()
    for task, proof in zip(tasks, proofs, strict=True):
        if not isinstance(proof, Proof):
            unproven[task.id] = str(proof)
        elif proof.ok:
            proven.append(task.id)
        else:
            (unproven if proof.fault in _OPEN else broken)[task.id] = proof.why
    return Admission(tuple(proven), broken, unproven)


def _proofs(tasks: Sequence[Task], grader: Grader) -> list[Proof | InfraError]:
    return prove_many(tasks, grader.sandbox, times=1, retries=grader.retries)

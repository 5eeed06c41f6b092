"""Proves many tasks at once, over all workers of a sandbox, as `prove` does one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from toprope.grading.prove import Fault, Proof, prove
from toprope.grading.verdict import UngradableTask
from toprope.sandbox.protocol import Sandbox, SandboxUnavailable, UnknownEnvironment
from toprope.terms import InfraError, Task


def prove_many(
    tasks: Sequence[Task],
    sandbox: Sandbox,
    *,
    times: int = 3,
    retries: int = 2,
    tell: Callable[[int], None] = lambda done: None,
) -> list[Proof | InfraError]:
    """Return the proof of each task, in order; `tell` hears how many are done.

    Never raises for a failure of ours: that is retried, then stands in the proof's place.
    """
    found: list[Proof | InfraError] = []
    with ThreadPoolExecutor(sandbox.workers, "prover") as pool:
        for proof in pool.map(lambda task: _prove(task, sandbox, times, retries), tasks):
            found.append(proof)
            tell(len(found))
    return found


def _prove(task: Task, sandbox: Sandbox, times: int, retries: int) -> Proof | InfraError:
    last = InfraError("not tried")
    for _ in range(retries + 1):
        try:
            return prove(task, sandbox, times=times)
        except UngradableTask as error:
            return Proof(False, str(error), Fault.UNGRADABLE)
        except (UnknownEnvironment, SandboxUnavailable) as error:
            return Proof(False, str(error), Fault.NOT_HERE)
        except InfraError as error:
            last = error
    return last

"""A small climb for kill tests: resumes a ledger and runs it to iteration 11.

Draws follow from the ids alone, so that a resumed run repeats what a killed one did.
"""

from __future__ import annotations

import hashlib
import os
import signal
import sys
import threading
import time
from pathlib import Path

from toprope.ledger.rows import COLD, STUDENT, TRAIN, Evidence, Meter, TaskRow, TeacherCall
from toprope.ledger.states import after_cold_test, after_pilot
from toprope.ledger.store import Ledger
from toprope.terms import Mode, Outcome, Split, State

TASKS = [f"t{i}" for i in range(12)]


def passes(episode_id: str, version: int) -> bool:
    return hashlib.sha256(episode_id.encode()).digest()[0] < 12 * version


def draw(ledger: Ledger, iteration: int) -> None:
    """Grade through the journal, in small portions, as a sandbox would deliver."""
    for task in TASKS:
        ids = {d: f"{iteration}/{task}/{d}" for d in range(16 if iteration == 0 else 8)}
        known = ledger.journal_get(ids.values())
        fresh = {e: passes(e, iteration) for e in ids.values() if e not in known}
        ledger.journal_put(fresh)
        ledger.record_evidence(
            Evidence(
                episode_id=episode_id,
                iteration=iteration,
                purpose=TRAIN if iteration else COLD,
                task_id=task,
                version=iteration,
                policy=STUDENT,
                mode=Mode.PLAIN,
                rung="0",
                draw=d,
                outcome=Outcome.PASSED if {**known, **fresh}[episode_id] else Outcome.FAILED,
                reward=0.0,
                reverified=None,
                prompt_tokens=9,
                sampled_tokens=3,
            )
            for d, episode_id in ids.items()
        )


def move(ledger: Ledger, iteration: int) -> None:
    states, draws = ledger.states(), ledger.plain_draws()
    rule = after_pilot if iteration else lambda task, _, found: after_cold_test(task, found)
    ledger.record_transitions(iteration, [rule(t, states[t], draws[t]) for t in TASKS])
    for task, state in states.items():
        if state is State.COLD:
            call = TeacherCall(f"{iteration}/{task}", task, "6", 9, 9, 0.25, Outcome.FAILED, True)
            ledger.record_teacher_calls([call])


def climb(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    with Ledger.open(folder / "ledger.sqlite", create=True) as ledger:
        ledger.register_tasks(TaskRow(t, Split.TRAIN, None, t, i) for i, t in enumerate(TASKS))
        last = ledger.last_commit()
        for iteration in range(last.iteration + 1 if last else 0, 12):
            draw(ledger, iteration)
            move(ledger, iteration)
            ledger.record_meters([Meter(iteration, "sample", 100, 10, 0, 1.5e9, 160)])
            ledger.record_seconds(iteration, {"sample": time.process_time()})
            ledger.commit(iteration, iteration, f"step-{iteration:06d}")


def kill_after(seconds: float) -> None:
    time.sleep(seconds)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    for moment in sys.argv[2:]:
        threading.Thread(target=kill_after, args=[float(moment)], daemon=True).start()
    climb(Path(sys.argv[1]))

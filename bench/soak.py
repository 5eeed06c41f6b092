"""Grades many attempts in calm and again in a storm, and compares: `python bench/soak.py`.

The attempts are those of `soak_attempts.py` at the shipped function tasks. In the storm, workers
and guards are killed, jobs fill their disks, the folder for temporary files is full (as root),
and with --jumps the machine's clock jumps by hours (as root; it is put back). No
attempt may be lost, none judged otherwise, nothing left behind: exit code 1 if one is.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import hashlib
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from soak_attempts import Attempt, attempt
from soak_storm import InTheStorm, Storm, guards, worker_of

from toprope.grading import Grader
from toprope.sandbox import Sandbox, open_sandbox
from toprope.sandbox.zygote import kernel
from toprope.tasks import load_taskset
from toprope.terms import Outcome, Task, Verdict

sys.path.append(str(Path(__file__).resolve().parent.parent / "tests"))
import machine

_CHUNK = 100
_ROUNDS = 5  # in which what we failed to judge is asked for again
_TELL_S = 5.0
_MOST_GROWTH_MB = 24.0
_SHOWN = 20


@dataclass
class Run:
    """What one run over all attempts came to."""

    verdicts: list[bytes] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    again: int = 0
    seconds: float = 0.0
    trainer_mb: list[float] = field(default_factory=list)
    workers: list[dict[int, tuple[int, int, float]]] = field(default_factory=list)
    harm: list[str] = field(default_factory=list)
    hit: int = 0  # tries that lost their worker


def soak(name: str, options: argparse.Namespace, tasks: list[Task], storm: Storm | None) -> Run:
    """Grade all attempts once, and look at what is left of it."""
    run = Run()
    before = machine.look()
    sandbox: Sandbox = open_sandbox(workers=options.workers)
    if storm:
        sandbox = InTheStorm(sandbox, storm)
        storm.start()
    started = told = time.monotonic()
    try:
        size = max(1, min(_CHUNK, options.count // 10))
        for first in range(0, options.count, size):
            last = min(first + size, options.count)
            chunk = [attempt(options.seed, number, tasks) for number in range(first, last)]
            for verdict in _judged(chunk, sandbox, run):
                run.outcomes[str(verdict.outcome)] += 1
                run.verdicts.append(hashlib.sha256(repr(verdict).encode()).digest())
            marks = len(run.trainer_mb)
            if last >= options.count * (0.1, 1.0)[min(marks, 1)] and marks < 2:
                run.trainer_mb.append(_resident_mb(os.getpid()))
                run.workers.append({} if storm else _workers())  # in a storm they come and go
            if time.monotonic() - told > _TELL_S or last == options.count:
                told = time.monotonic()
                pace = last / (told - started)
                print(f"{name} {last}/{options.count}, {pace:.0f} a second", file=sys.stderr)
    finally:
        if storm:
            storm.end()
        sandbox.close()
    run.hit = getattr(sandbox, "lost", 0)
    run.seconds = time.monotonic() - started
    run.harm = before.harm()
    return run


def _judged(chunk: list[Attempt], sandbox: Sandbox, run: Run) -> list[Verdict]:
    """A verdict for each; what could not be judged is asked for again, as a climb does."""
    # A grader remembers verdicts; a fresh one shows what else would grow.
    grader = Grader(sandbox)
    items = [(str(at), each.task, each.changes) for at, each in enumerate(chunk)]
    verdicts = grader.grade_many(items)
    for _ in range(_ROUNDS):
        ours = [at for at, verdict in enumerate(verdicts) if verdict.outcome is Outcome.INFRA]
        run.again += len(ours)
        for at, verdict in zip(ours, grader.grade_many([items[at] for at in ours]), strict=True):
            verdicts[at] = verdict
    return verdicts


def differences(calm: Run, storm: Run, options: argparse.Namespace, tasks: list[Task]) -> list[str]:
    """Sentences on everything that is not as it has to be."""
    found = []
    for name, run in (("calm", calm), ("storm", storm)):
        lost = options.count - len(run.verdicts) + run.outcomes[str(Outcome.INFRA)]
        found += [f"{name}: {lost} attempts were lost"] if lost else []
        found += [f"{name}: {sentence}" for sentence in run.harm]
        grown = run.trainer_mb[1] - run.trainer_mb[0]
        if grown > _MOST_GROWTH_MB:
            found.append(f"{name}: this process has grown by {grown:.0f} MB")
    pairs = enumerate(zip(calm.verdicts, storm.verdicts, strict=False))
    for number in [number for number, (one, other) in pairs if one != other]:
        found.append(_told_again(number, options, tasks))
    for pid, (mounts, descriptors, resident) in calm.workers[0].items():
        now = calm.workers[1].get(pid)
        if now is None:
            found.append(f"calm: worker {pid} was lost")
        elif now[:2] != (mounts, descriptors) or now[2] - resident > _MOST_GROWTH_MB:
            found.append(
                f"calm: worker {pid} holds {now}, before {(mounts, descriptors, resident)}"
            )
    return found


def _told_again(number: int, options: argparse.Namespace, tasks: list[Task]) -> str:
    """An attempt that was judged in two ways: which, and what a third grading says."""
    kind, task, changes = attempt(options.seed, number, tasks)
    with contextlib.closing(open_sandbox()) as sandbox:
        (verdict,) = Grader(sandbox).grade_many([("", task, changes)])
    return f"attempt {number} ({kind}, {task.id}) was judged in two ways; now {verdict}"


def _workers() -> dict[int, tuple[int, int, float]]:
    """Of each worker the mounts, the descriptors and the resident megabytes."""
    found = {}
    for worker in filter(None, map(worker_of, guards())):
        mounts = len(Path(f"/proc/{worker}/mountinfo").read_text().splitlines())
        found[worker] = mounts, len(os.listdir(f"/proc/{worker}/fd")), _resident_mb(worker)
    return found


def _resident_mb(pid: int) -> float:
    gc.collect()
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


@contextlib.contextmanager
def full_temporary_folder() -> Iterator[str]:
    """As root: TMPDIR on a file system without a free byte, seen by this process alone."""
    if os.geteuid() != 0:
        yield "free (no root)"
        return
    folder = tempfile.mkdtemp(prefix="toprope-soak-")
    kernel.unshare(kernel.CLONE_NEWNS)
    kernel.mount("none", "/", "", kernel.MS_REC | kernel.MS_PRIVATE)
    kernel.mount("tmpfs", folder, "tmpfs", kernel.MS_NOSUID, "size=64k")
    with contextlib.suppress(OSError), open(f"{folder}/full", "wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    tempfile.tempdir = os.environ["TMPDIR"] = folder
    try:
        yield "full"
    finally:
        tempfile.tempdir = None
        del os.environ["TMPDIR"]
        kernel.umount(folder)
        os.rmdir(folder)


def table(calm: Run, stormy: Run, storm: Storm, sandbox_lost: str, count: int) -> str:
    """What was counted, side by side."""
    rows = [("", "calm", "storm"), ("attempts", str(count), str(count))]
    rows += [
        (f"  {name}", str(calm.outcomes[name]), str(stormy.outcomes[name]))
        for name in sorted({*calm.outcomes, *stormy.outcomes})
    ]
    rows += [
        ("tries that lost a worker", str(calm.hit), str(stormy.hit)),
        ("asked for again (infra)", str(calm.again), str(stormy.again)),
        ("a second", f"{count / calm.seconds:.0f}", f"{count / stormy.seconds:.0f}"),
        ("this process at 10 %, MB", f"{calm.trainer_mb[0]:.0f}", f"{stormy.trainer_mb[0]:.0f}"),
        ("this process at 100 %, MB", f"{calm.trainer_mb[1]:.0f}", f"{stormy.trainer_mb[1]:.0f}"),
        ("workers killed", "", str(storm.struck["worker"])),
        ("guards killed", "", str(storm.struck["guard"])),
        ("clock jumps", "", str(storm.struck["clock"])),
        ("temporary folder", "", sandbox_lost),
    ]
    return "\n".join(f"{name:28}{one:>10}{other:>16}" for name, one, other in rows)


def main() -> int:
    """Run both, print the table and the differences, return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=20_000, help="attempts")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--every", type=float, default=1.0, help="seconds between strikes")
    parser.add_argument("--jumps", action="store_true", help="set this machine's clock (root)")
    options = parser.parse_args()
    tasks = [task for task in load_taskset("default").tasks if task.calls]
    storm = Storm(options.seed, options.every, options.jumps)
    with machine.orphans_come_to_us():
        calm = soak("calm", options, tasks, None)
        with full_temporary_folder() as folder:
            stormy = soak("storm", options, tasks, storm)
    print(table(calm, stormy, storm, folder, options.count))
    found = differences(calm, stormy, options, tasks)
    print("\n".join(found[:_SHOWN]) or "nothing is lost, judged otherwise or left behind")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

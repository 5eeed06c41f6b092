"""How many jobs and graded attempts a second: `python bench/sandbox_throughput.py`.

Prints the median over rounds, and the spread. Attempts are distinct one-function fixes
with 14 tests each, so nothing is answered from memory.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from toprope.grading import Grader, observe_calls
from toprope.sandbox import Job, Sandbox, open_sandbox
from toprope.terms import Call, Focus, Outcome, Source, Split, Task

FUNCTION = """\
def median(values):
    ordered = sorted(values)
    half = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[half]
    return (ordered[half - 1] + ordered[half]) / 2
"""


def make_task(sandbox: Sandbox) -> Task:
    """One task with 14 calls whose expectations are observed."""
    calls = [(f"c{size:02d}", f"({list(range(size, 0, -1))},)") for size in range(1, 15)]
    seen = observe_calls(sandbox, {"m.py": FUNCTION}, "m.py:median", calls)
    return Task(
        "bench", Split.TRAIN, None, "", {"m.py": FUNCTION}, Focus("m.py", 1, 6), ("m.py",),
        "m.py:median", tuple(Call(name, args, seen[name]) for name, args in calls),
        ("c02",), tuple(name for name, _ in calls if name != "c02"), {},
        Source("bench", "1", "m.py", 1, "Apache-2.0", "median", "none"),
    )  # fmt: skip


def rate(count: int, work: Callable[[int], object], rounds: int) -> str:
    """Times `work(count)` and says how many a second."""
    rates = []
    for _ in range(rounds):
        started = time.perf_counter()
        work(count)
        rates.append(count / (time.perf_counter() - started))
    return f"{statistics.median(rates):6.1f} a second  (from {min(rates):.1f} to {max(rates):.1f})"


def processor_seconds() -> float:
    """Processor time of this process and of the workers it has ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def main() -> None:
    """Measure empty jobs, then graded attempts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with ThreadPoolExecutor(options.workers) as pool:
        sandbox = open_sandbox(workers=options.workers)
        grader, task = Grader(sandbox), make_task(sandbox)

        def empty(count: int) -> None:
            list(pool.map(lambda n: sandbox.run(Job(str(n), {}, "pass")), range(count)))

        def graded(count: int) -> None:
            stamp = time.perf_counter_ns()
            items = [(str(n), task, {"m.py": f"{FUNCTION}# {stamp + n}\n"}) for n in range(count)]
            verdicts = grader.grade_many(items)
            assert all(verdict.outcome is Outcome.PASSED for verdict in verdicts)

        print(f"{options.workers} workers, {sandbox.walls.level}")
        print("empty jobs      ", rate(options.count, empty, options.rounds))
        print("graded attempts ", rate(options.count, graded, options.rounds))
        sandbox.close()
        # On a busy machine only this can be compared: it does not depend on the others.
        jobs = 2 * options.count * options.rounds
        print(f"processor time    {processor_seconds() / jobs * 1000:.1f} ms a job, both kinds")


if __name__ == "__main__":
    main()

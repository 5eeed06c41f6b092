"""What a command costs in a session, a job, and a plain process: `python bench/session_latency.py`.

Prints the median in milliseconds, and how often it fits into a fresh job. The four are
measured in turn, so that other work on the machine slows them alike.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import time
from collections.abc import Callable

from toprope.sandbox import Job, Start, open_sandbox
from toprope.terms import Environment


def timed(work: Callable[[], object]) -> float:
    """Milliseconds that one call takes."""
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1000


def main() -> None:
    """Measure all four, one call of each per round."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=300)
    options = parser.parse_args()
    sandbox = open_sandbox(workers=2, environments={"tools": Environment(tools=True)})
    session = sandbox.open(Start("bench", environment="tools"))
    sides: dict[str, Callable[[], object]] = {
        "a fresh job": lambda: sandbox.run(Job("bench", {}, "pass", environment="tools")),
        "session.run('true')": lambda: session.run("true", 5),
        "session.python('pass')": lambda: session.python("pass", b"", 5),
        "sh -c true, no walls": lambda: subprocess.run(["sh", "-c", "true"], check=True),
    }
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(options.rounds):
        for name, work in sides.items():
            taken[name].append(timed(work))
    session.close()
    sandbox.close()
    job = statistics.median(taken["a fresh job"])
    print(f"median of {options.rounds}, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    for name, times in taken.items():
        middle, tenth = statistics.median(times), statistics.quantiles(times, n=10)[0]
        print(
            f"{name:24} {middle:6.2f} ms  (fastest tenth {tenth:.2f})  {job / middle:4.1f}x a job"
        )


if __name__ == "__main__":
    main()

"""What a container costs around a worker: `python bench/container_latency.py IMAGE`.

Prints the medians in milliseconds of a worker's start and of a job in it, behind the inner wall
alone and in a container too. Both sides take turns, so that other work slows them alike.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time

from toprope.sandbox import Job
from toprope.sandbox.worker import Worker
from toprope.terms import Environment


def milliseconds(since: float) -> float:
    """Milliseconds that went by."""
    return (time.perf_counter() - since) * 1000


def main() -> None:
    """Measure both sides, a fresh worker and some jobs of each per round."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("image")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--jobs", type=int, default=20)
    options = parser.parse_args()
    sides = {
        "one wall": Environment(python=sys.executable, tools=True),
        "in a container": Environment(image=options.image, tools=True),
    }
    starts: dict[str, list[float]] = {name: [] for name in sides}
    jobs: dict[str, list[float]] = {name: [] for name in sides}
    for environment in sides.values():
        Worker(0, environment).kill()  # the image is looked up once
    for _ in range(options.rounds):
        workers = {}
        for name, environment in sides.items():
            begun = time.perf_counter()
            workers[name] = Worker(0, environment)
            starts[name].append(milliseconds(begun))
        for _ in range(options.jobs):
            for name, worker in workers.items():
                begun = time.perf_counter()
                worker.run(Job("bench", {}, "pass"))
                jobs[name].append(milliseconds(begun))
        for worker in workers.values():
            worker.kill()
    print(f"{options.rounds} rounds, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    for what, times in (("start", starts), ("job", jobs)):
        plain, boxed = (statistics.median(found) for found in times.values())
        print(f"{what:6} {plain:7.1f} ms, in a container {boxed:7.1f} ms: {boxed / plain:.2f}x")


if __name__ == "__main__":
    main()

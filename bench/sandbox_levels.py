"""A job behind Landlock rules against the same job in namespaces, one call of each in turn.

    PYTHONPATH=src python3 bench/sandbox_levels.py [--rounds 200]

Needs only the standard library, and an interpreter that every user can read.
"""

from __future__ import annotations

import argparse
import time
from statistics import median

from toprope.sandbox import LEVELS, Job, Sandbox, open_sandbox
from toprope.terms import Tree

TREE = Tree("bench", {f"p/m{number}.py": "x = 1\n" * 300 for number in range(60)})
JOBS = {
    "no files": Job("j", {}, "pass"),
    "a tree of 60 files, 108 KB": Job("j", {}, "pass", tree=TREE),
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=200)
    rounds = parser.parse_args().rounds
    sandboxes = [open_sandbox(level=level) for level in LEVELS]
    for name, job in JOBS.items():
        spent: list[list[float]] = [[] for _ in sandboxes]
        for _ in range(rounds):
            for sandbox, taken in zip(sandboxes, spent, strict=True):
                taken.append(milliseconds(sandbox, job))
        middles = [median(taken[1:]) for taken in spent]  # the first unpacks the tree
        told = ", ".join(f"{level} {ms:.1f} ms" for level, ms in zip(LEVELS, middles, strict=True))
        print(f"{name}: {told}, ratio {middles[1] / middles[0]:.2f}")
    for sandbox in sandboxes:
        sandbox.close()


def milliseconds(sandbox: Sandbox, job: Job) -> float:
    begun = time.perf_counter()
    assert sandbox.run(job).why == "exited with 0"
    return (time.perf_counter() - begun) * 1000


if __name__ == "__main__":
    main()

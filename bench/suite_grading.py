"""A test suite graded by both runners against a cold pytest in the same walls, in one run.

python bench/suite_grading.py TASKSET        # of `toprope tasks make`, environment.toml beside it

All sides run the same tests of the same attempts behind the same walls. The cold side starts
`python -m pytest` anew; the warm ones are clones of an interpreter that has pytest loaded, one
by pytest, one by the quick runner (whatever the tasks say, so that what is not plain is run
twice). Prints the medians of the ratios over rounds.
"""

from __future__ import annotations

import argparse
import shlex
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from toprope.grading import grade
from toprope.grading.suites import limits
from toprope.sandbox import Job, Sandbox, open_sandbox
from toprope.tasks import load_environments, load_taskset
from toprope.terms import PLAIN, PYTEST, Task

_COLD = """
import os
words = {words!r}
os.environ["PYTHONPATH"] = {path!r}
os.execvp(words[0], words)
"""


def warm(task: Task, sandbox: Sandbox) -> None:
    """One attempt graded by pytest, canaries included."""
    _grade(task, sandbox, PYTEST)


def quick(task: Task, sandbox: Sandbox) -> None:
    """One attempt graded by the quick runner, canaries included."""
    _grade(task, sandbox, PLAIN)


def _grade(task: Task, sandbox: Sandbox, runner: str) -> None:
    chosen = replace(task, suite=replace(task.suite, runner=runner))
    assert grade(chosen, {}, sandbox).reward == 0.0


def cold(task: Task, sandbox: Sandbox) -> None:
    """The same tests by `python -m pytest`, its exit code believed."""
    suite = task.suite
    words = ["python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "addopts="]
    words += [*suite.args, *task.fail_to_pass, *task.pass_to_pass]
    path = ":".join(f"/box/work/{folder}" for folder in suite.imports)
    program = _COLD.format(words=words, path=path)
    files = {**task.files, **suite.files}
    removed = tuple(name for name in task.removed if name not in files)
    job = Job("cold", files, program, limits=limits(suite), tree=task.tree, removed=removed,
              environment=suite.environment)  # fmt: skip
    result = sandbox.run(job)
    assert (result.status, result.returncode) == ("exited", 1), (shlex.join(words), result)


def rate(side, tasks: list[Task], sandbox: Sandbox) -> float:
    """Attempts a second over all workers."""
    begun = time.perf_counter()
    with ThreadPoolExecutor(sandbox.workers) as pool:
        list(pool.map(lambda task: side(task, sandbox), tasks))
    return len(tasks) / (time.perf_counter() - begun)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("taskset")
    parser.add_argument("--tasks", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    tasks = list(load_taskset(options.taskset).tasks[: options.tasks])
    environments = load_environments(options.taskset)
    with open_sandbox(workers=options.workers, environments=environments) as sandbox:
        rate(warm, tasks[:4], sandbox)
        ratios: dict[str, list[float]] = {"pytest": [], "quick": []}
        for at in range(options.rounds):
            slow = rate(cold, tasks, sandbox)
            rates = {"pytest": rate(warm, tasks, sandbox), "quick": rate(quick, tasks, sandbox)}
            told = ", ".join(f"{name} {found:.1f}" for name, found in rates.items())
            print(f"round {at + 1}: cold {slow:.1f} a second, {told}")
            for name, found in rates.items():
                ratios[name].append(found / slow)
    for name, found in ratios.items():
        print(f"{name}: {statistics.median(found):.1f}x cold")


if __name__ == "__main__":
    main()

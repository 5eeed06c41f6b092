"""Graded attempts a second: our two runners, a cold pytest behind our walls, mini-swe-agent.

python bench/environments.py --python VENV/bin/python [--peer VENV/bin/python]

`--python` is an interpreter with pytest, which runs the tests on every side; `--peer` one with
mini-swe-agent (for its bubblewrap environment `bwrap` has to be installed). Every side does
the same with each attempt: a fresh copy of a small repository, the attempt's file written into
it, the same ten tests run. Ours grade on top: hidden tests laid over, canaries, a private
record. Sides take turns in every round; printed are the medians, and the medians of the ratios
of each round to cold pytest. With `--reset`: what an empty job costs, by size of its tree.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from queue import Queue

from suite_grading import cold

from toprope.grading import grade
from toprope.sandbox import Job, Sandbox, open_sandbox
from toprope.tasks import make_tree
from toprope.terms import PLAIN, PYTEST, Environment, Focus, Outcome, Source, Split, Suite, Task

CODE = """\
def median(values):
    ordered = sorted(values)
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return (ordered[middle - {shift}] + ordered[middle]) / 2
"""
TESTS = "import pytest\n\nfrom small.median import median\n\n" + "".join(
    f"\ndef test_{n}():\n    assert median(range({n})) == {(n - 1) / 2}\n" for n in range(1, 11)
) + "\n\ndef test_empty():\n    with pytest.raises(IndexError):\n        median([])\n"  # fmt: skip
PATH = "small/median.py"
FILES = {"small/__init__.py": "", PATH: CODE.format(shift=1), "tests/test_median.py": TESTS}
WRONG = CODE.format(shift=2)
EVEN = tuple(f"tests/test_median.py::test_{n}" for n in range(2, 11, 2))
ODD = tuple(f"tests/test_median.py::test_{n}" for n in (*range(1, 11, 2), "empty"))
ENVIRONMENT = "bench"

DRIVER = """
import json, os, shutil, sys, tempfile
from minisweagent.environments.local import LocalEnvironment
from minisweagent.environments.extra.bubblewrap import BubblewrapEnvironment
pristine, kind, prefixes = sys.argv[1], sys.argv[2], sys.argv[3:]
for line in sys.stdin:
    told = json.loads(line)
    if kind == "local":
        folder = tempfile.mkdtemp()
        environment = LocalEnvironment(cwd=folder)
    else:
        environment = BubblewrapEnvironment()
        folder = str(environment.working_dir)
        for prefix in prefixes:
            environment.config.wrapper_args += ["--ro-bind", prefix, prefix]
    shutil.copytree(pristine, folder, dirs_exist_ok=True)
    with open(os.path.join(folder, told["path"]), "w") as file:
        file.write(told["text"])
    said = environment.execute({"command": told["command"]})
    shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps([said["returncode"], said["output"][-300:]]), flush=True)
"""
Side = Callable[[Task], None]


def bench_task(filler: int = 0) -> Task:
    """The broken median in a repository of `filler` further files."""
    more = {f"more/part{n % 50}/file{n}.py": f"VALUE = {n}\n" for n in range(filler)}
    suite = Suite({"tests/test_median.py": TESTS}, ("tests/test_median.py",),
                  environment=ENVIRONMENT, timeout_s=20.0, runner=PLAIN)  # fmt: skip
    return Task(
        id="small.median", split=Split.TRAIN, tier=None, statement="", files={PATH: WRONG},
        focus=Focus(PATH, 1, 6), editable=("small/*.py",), entry="", calls=(),
        fail_to_pass=EVEN[1:], pass_to_pass=ODD, solution={PATH: FILES[PATH]},
        source=Source("small", "1", PATH, 1, "", "median", ""), suite=suite,
        tree=make_tree({**FILES, **more}),
    )  # fmt: skip


def by(runner: str, sandbox: Sandbox) -> Side:
    def side(task: Task) -> None:
        chosen = replace(task, suite=replace(task.suite, runner=runner))
        assert grade(chosen, {}, sandbox).outcome is Outcome.FAILED

    return side


class Peer:
    """mini-swe-agent's environment of one kind, one process of it per worker."""

    def __init__(self, options: argparse.Namespace, kind: str, pristine: str) -> None:
        self.words = [options.python, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        self.idle: Queue[subprocess.Popen[str]] = Queue()
        told = "import os, sys; print(sys.prefix, os.path.realpath(sys.base_prefix))"
        prefixes = subprocess.check_output([options.python, "-c", told], text=True).split()
        command = [options.peer, "-c", DRIVER, pristine, kind, *prefixes]
        quiet = {**os.environ, "MSWEA_SILENT_STARTUP": "1"}
        for _ in range(options.workers):
            self.idle.put(
                subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    text=True,
                    env=quiet,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                )
            )

    def __call__(self, task: Task) -> None:
        driver = self.idle.get()
        command = " ".join([*self.words, *task.fail_to_pass, *task.pass_to_pass])
        try:
            print(json.dumps({"path": PATH, "text": task.files[PATH], "command": command}),
                  file=driver.stdin, flush=True)  # fmt: skip
            code, said = json.loads(driver.stdout.readline())
        finally:
            self.idle.put(driver)
        assert (code, "4 failed, 6 passed" in said) == (1, True), (code, said)

    def close(self) -> None:
        while not self.idle.empty():
            driver = self.idle.get()
            driver.stdin.close()
            driver.wait()


def rate(side: Side, task: Task, times: int, workers: int) -> float:
    """Attempts a second over all workers."""
    begun = time.perf_counter()
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(lambda _: side(task), range(times)))
    return times / (time.perf_counter() - begun)


def compare(sides: dict[str, Side], options: argparse.Namespace) -> None:
    task = bench_task()
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for side in sides.values():
        rate(side, task, 2 * options.workers, options.workers)
    for _ in range(options.rounds):
        for name, side in sides.items():
            times = options.times if name in ("quick", "pytest") else max(1, options.times // 4)
            rates[name].append(rate(side, task, times, options.workers))
    for name, found in rates.items():
        ratios = [one / cold_one for one, cold_one in zip(found, rates["cold"], strict=True)]
        print(f"{name:>12}: {statistics.median(found):6.1f} a second ({min(found):.1f} to "
              f"{max(found):.1f}), {statistics.median(ratios):5.1f}x cold")  # fmt: skip


def reset_costs(sandbox: Sandbox, rounds: int) -> None:
    """Print what an empty job costs on top of trees of several sizes, in turn."""
    trees = {size: bench_task(size - len(FILES)).tree for size in (10, 1000, 5000)}
    spent: dict[int, list[float]] = {size: [] for size in trees}
    for at in range(rounds + 1):
        for size, tree in trees.items():
            begun = time.perf_counter()
            sandbox.run(Job("empty", {}, "pass", trusted=True, tree=tree, environment=ENVIRONMENT))
            spent[size] += [(time.perf_counter() - begun) * 1000] if at else []
    for size, found in spent.items():
        print(f"{size:>5} files: {statistics.median(found):.1f} ms (best {min(found):.1f})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--peer", default="")
    parser.add_argument("--times", type=int, default=80)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--reset", action="store_true")
    options = parser.parse_args()
    shown = Environment(python=options.python, warm=("pytest",), tools=True)
    with open_sandbox(workers=1 if options.reset else options.workers,
                      environments={ENVIRONMENT: shown}) as sandbox:  # fmt: skip
        if options.reset:
            reset_costs(sandbox, options.rounds * 20)
            return
        run(sandbox, options)


def run(sandbox: Sandbox, options: argparse.Namespace) -> None:
    sides: dict[str, Side] = {"quick": by(PLAIN, sandbox), "pytest": by(PYTEST, sandbox)}
    sides["cold"] = lambda task: cold(task, sandbox)
    with tempfile.TemporaryDirectory() as pristine:
        for path, text in FILES.items():
            place = Path(pristine, path)
            place.parent.mkdir(exist_ok=True)
            place.write_text(text)
        peers = {}
        if options.peer:
            peers = {f"mini {kind}": Peer(options, kind, pristine) for kind in ("local", "bwrap")}
        compare({**sides, **peers}, options)
        for peer in peers.values():
            peer.close()


if __name__ == "__main__":
    main()

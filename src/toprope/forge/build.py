"""Builds a taskset from the manifest of pinned packages: harvest, deal, prove, measure, save.

Everything is drawn by seeded hashes, so the same manifest gives the same hash. Packages are
harvested in separate processes; what one of them gave is kept in the cache under a key of
its pin and of the forge's own source, so a second build only repeats what changed.
"""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from toprope import grading
from toprope.forge.harvest import Harvest, harvest
from toprope.forge.mutator import mutator_rate
from toprope.forge.packages import Package, fetch, open_archive
from toprope.forge.splits import deal
from toprope.forge.tasks import make_tasks
from toprope.grading import prove
from toprope.sandbox import open_sandbox
from toprope.sandbox.protocol import Sandbox
from toprope.tasks import Taskset, save_taskset
from toprope.terms import Split, Task

Say = Callable[[str], None]


@dataclass(frozen=True)
class Built:
    """A finished build: the taskset, what each package gave, and tasks that failed the proof."""

    taskset: Taskset
    harvests: tuple[Harvest, ...]
    unproven: dict[str, str]


def build(packages: Sequence[Package], cache: Path, out: Path, *, jobs: int = 1,
          fresh: bool = False, say: Say = print) -> Built:  # fmt: skip
    """Build the taskset of `packages` into `out`; `fresh` ignores earlier harvests."""
    harvests = []
    with ProcessPoolExecutor(max_workers=jobs) as pool:
        one = partial(harvest_package, cache=cache, fresh=fresh)
        for package, found in zip(packages, pool.map(one, packages), strict=True):
            say(f"{package.name} {package.version}: {len(found.functions)} functions")
            harvests.append(found)
    functions = [function for found in harvests for function in found.functions]
    tasks = make_tasks(deal(functions))
    sandbox = open_sandbox(workers=jobs)
    try:
        proven, unproven = _prove(tasks, sandbox)
        say(f"proven three times: {len(proven)} of {len(tasks)} tasks")
        finished = with_mutator(proven, sandbox)
    finally:
        sandbox.close()
    return Built(save_taskset(finished, out, "default"), tuple(harvests), unproven)


def harvest_package(package: Package, cache: Path, fresh: bool = False) -> Harvest:
    """Return what one package gives, from the cache if this forge has harvested it before."""
    archive = fetch(package, cache / "archives")
    kept = cache / "harvests" / f"{package.name}-{_fingerprint(package)}.pickle"
    if kept.exists() and not fresh:
        found = pickle.loads(kept.read_bytes())
        assert isinstance(found, Harvest)
        return found
    sandbox = open_sandbox()
    try:
        found = harvest(open_archive(package, archive), sandbox)
    finally:
        sandbox.close()
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_bytes(pickle.dumps(found))
    return found


def with_mutator(tasks: Sequence[Task], sandbox: Sandbox) -> list[Task]:
    """Return the tasks, the held-out ones with the mutator's pass probability as a feature."""
    rates = mutator_rate((t for t in tasks if t.split is Split.HELDOUT), sandbox)
    return [
        replace(task, features={**task.features, "mutator_p": round(rates[task.id], 6)})
        if task.id in rates
        else task
        for task in tasks
    ]


def _prove(tasks: Sequence[Task], sandbox: Sandbox) -> tuple[list[Task], dict[str, str]]:
    with ThreadPoolExecutor(max_workers=sandbox.workers) as pool:
        proofs = list(pool.map(lambda task: prove(task, sandbox), tasks))
    pairs = list(zip(tasks, proofs, strict=True))
    return [t for t, proof in pairs if proof.ok], {t.id: p.why for t, p in pairs if not p.ok}


def _fingerprint(package: Package) -> str:
    """A key of everything a harvest depends on: the pin, the forge's text, the runner's text."""
    digest = hashlib.sha256(repr(replace(package, far=False)).encode())
    here = Path(__file__).parent
    runner = Path(grading.__file__).with_name("runner.py")
    after = {"build.py", "splits.py", "spread.py", "tasks.py", "mutator.py", "summary.py"}
    for path in [*sorted(here.rglob("*.py")), runner]:
        if path.name not in after:
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]

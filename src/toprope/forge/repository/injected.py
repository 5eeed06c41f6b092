"""Bugs put in: single ones first, then pairs of those that were proven alone."""

from __future__ import annotations

from toprope.forge.repository.bugs import broken_files, make_task
from toprope.forge.repository.dealing import By
from toprope.forge.repository.pairs import pairs
from toprope.forge.repository.sites import Candidate, candidates, find_sites
from toprope.forge.repository.trial import Noticed, try_bug
from toprope.forge.repository.workbench import Workbench, taken
from toprope.terms import Task

Bugs = tuple[Candidate, ...]


def inject(bench: Workbench, limit: int, share: float, by: By, seed: str) -> tuple[list[Task], int]:
    """Return at most `limit` tasks, a `share` of them with two bugs; and how many candidates
    were left."""
    queue = candidates(find_sites(bench.repository.tree.files, bench.baseline), seed)
    doubles = round(limit * share)
    singles: dict[Candidate, Task] = {}
    tried = 0

    def tell(done: int, found: int) -> None:
        bench.tell(f"{done} bugs tried", found, limit - doubles)

    answers = bench.answers(((bug,) for bug in queue), _key, lambda bugs: _attempt(bench, bugs))
    for bugs, tasks in taken(answers, limit - doubles, tell):
        tried += 1
        singles.update((bugs[0], task) for task in tasks)
    return [*singles.values(), *_doubles(bench, singles, doubles, by, seed)], len(queue) - tried


def _doubles(bench: Workbench, singles: dict[Candidate, Task], most: int, by: By,
             seed: str) -> list[Task]:  # fmt: skip
    """Two bugs at once, both of which the tests still notice."""

    def attempt(pair: Bugs) -> Task | str:
        task = _attempt(bench, pair)
        if isinstance(task, str):
            return task
        both = all(set(task.fail_to_pass) & set(singles[bug].fail_to_pass) for bug in pair)
        return task if both else "one hides the other"

    def tell(done: int, found: int) -> None:
        bench.tell("two bugs at once", found, most)

    answers = bench.answers(pairs(singles, by, seed), _key, attempt)
    return [task for _, tasks in taken(answers, most, tell) for task in tasks]


def _attempt(bench: Workbench, bugs: Bugs) -> Task | str:
    repository = bench.repository
    files = broken_files(repository, bugs)
    sites = [bug.site for bug in bugs]
    noticed = try_bug(repository.tree, files, sites, bench.baseline, bench.suite, bench.sandbox,
                      bench.most_tests)  # fmt: skip
    return make_task(repository, bugs, noticed) if isinstance(noticed, Noticed) else noticed


def _key(bugs: Bugs) -> str:
    return "+".join(bug.key for bug in bugs)

"""Bugs put in: single ones first, then pairs of those that were proven alone."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from toprope.forge.repository.bugs import broken_files, make_task
from toprope.forge.repository.dealing import By
from toprope.forge.repository.pairs import pairs
from toprope.forge.repository.sites import Candidate, candidates, find_sites
from toprope.forge.repository.trial import Noticed, try_bug
from toprope.forge.repository.workbench import Workbench, taken
from toprope.terms import Task

Bugs = tuple[Candidate, ...]


@dataclass(frozen=True)
class Doubles:
    """How many tasks with two bugs were asked for, and what came of the pairs tried, by word."""

    asked: int = 0
    words: Counter[str] = field(default_factory=Counter)

    @property
    def made(self) -> int:
        """The tasks among them."""
        return self.words["task"]


@dataclass(frozen=True)
class Injected:
    """Tasks with one bug or two, how many candidates were left, and what came of pairs."""

    tasks: list[Task]
    untried: int
    doubles: Doubles


def inject(bench: Workbench, limit: int, share: float, by: By, seed: str) -> Injected:
    """Return at most `limit` tasks, a `share` of them with two bugs where enough can be paired."""
    queue = candidates(find_sites(bench.repository.tree.files, bench.baseline), seed)
    wanted = round(limit * share)
    singles: dict[Candidate, Task] = {}
    tried = 0

    def tell(done: int, found: int) -> None:
        bench.tell(f"{done} bugs tried", found, limit - wanted)

    answers = bench.answers(((bug,) for bug in queue), _key, lambda bugs: _attempt(bench, bugs))
    for bugs, tasks in taken(answers, limit - wanted, tell):
        tried += 1
        singles.update((bugs[0], task) for task in tasks)
    tasks, doubles = _doubles(bench, singles, wanted, by, seed)
    return Injected([*singles.values(), *tasks], len(queue) - tried, doubles)


def _doubles(bench: Workbench, singles: dict[Candidate, Task], most: int, by: By,
             seed: str) -> tuple[list[Task], Doubles]:  # fmt: skip
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
    made: list[Task] = []
    words = Counter[str]()
    for pair, tasks in taken(answers, most, tell):
        made += tasks
        words[bench.progress.known[_key(pair)].word] += 1
    return made, Doubles(most, words)


def _attempt(bench: Workbench, bugs: Bugs) -> Task | str:
    repository = bench.repository
    files = broken_files(repository, bugs)
    sites = [bug.site for bug in bugs]
    noticed = try_bug(repository.tree, files, sites, bench.baseline, bench.suite, bench.sandbox,
                      bench.most_tests)  # fmt: skip
    return make_task(repository, bugs, noticed) if isinstance(noticed, Noticed) else noticed


def _key(bugs: Bugs) -> str:
    return "+".join(bug.key for bug in bugs)

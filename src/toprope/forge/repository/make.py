"""From a repository to a taskset of proven bugs: open, measure, try, prove, deal, save.

Reads top to bottom. Every step that can take long tells how far it is.
"""

from __future__ import annotations

import shlex
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from toprope.forge.repository.addopts import selecting
from toprope.forge.repository.baseline import Baseline, measure
from toprope.forge.repository.dealing import By, deal
from toprope.forge.repository.generated import with_generated
from toprope.forge.repository.impossible import KEY, contradict, usual
from toprope.forge.repository.injected import Doubles, inject
from toprope.forge.repository.progress import Progress
from toprope.forge.repository.reverted import revert_commits
from toprope.forge.repository.secrets import refuse_secrets
from toprope.forge.repository.source import Repository, open_repository
from toprope.forge.repository.surroundings import Surroundings, find_surroundings
from toprope.forge.repository.trial import MOST_TESTS
from toprope.forge.repository.workbench import Tell, Workbench
from toprope.sandbox import open_sandbox
from toprope.sandbox.protocol import Sandbox
from toprope.tasks import Taskset, save_environments, save_taskset
from toprope.terms import TopropeError

VERSION = 2  # of what a make writes; raised when the same repository would give other tasks


@dataclass(frozen=True)
class Options:
    """What a user can choose; see `toprope tasks make --help`."""

    root: str = ""
    python: str = ""
    setup: str = ""
    image: str = ""
    tests: tuple[str, ...] = ()
    pytest_args: tuple[str, ...] = ()
    suite_timeout_s: float = 600.0
    limit: int = 500
    pairs: float = 0.1
    by: By = By.FUNCTION
    commits: bool = False
    seed: str = "0"
    jobs: int = 2
    impossible: int | None = None  # None: a few
    most_tests: int = MOST_TESTS  # required of a task; 0: all
    allow_secrets: tuple[str, ...] = ()


@dataclass(frozen=True)
class Made:
    """A finished make: the taskset, what its repository is, what became of every candidate.

    `generated` files were taken in though git ignores them; `pytest_args` went to pytest.
    """

    taskset: Taskset
    repository: Repository
    surroundings: Surroundings
    baseline: Baseline
    words: Counter[str]
    untried: int
    generated: tuple[str, ...]
    pytest_args: tuple[str, ...]
    what: str  # the candidates: "bugs" or "commits"
    doubles: Doubles
    before: int = 0  # how many candidates an earlier sitting had tried


class NothingMade(TopropeError):
    """No bug of the repository became a task."""


def make(source: str, out: Path, options: Options, cache: Path, tell: Tell) -> Made:
    """Write proven tasks of `source` to `out`, and `environment.toml` beside it.

    A make that was stopped goes on where it was. Raises a `TopropeError` that says what to
    do when the repository cannot carry tasks.
    """
    repository = open_repository(source, options.root, cache)
    refuse_secrets(repository.tree.files, options.allow_secrets)
    if not options.pytest_args:
        options = replace(options, pytest_args=selecting(repository.tree.files))
    surroundings = find_surroundings(
        repository, cache, options.python, options.setup, options.image
    )
    copies = () if options.image else surroundings.environment.hidden
    repository, generated = with_generated(repository, surroundings.imports, copies)
    environments = {repository.name: surroundings.environment}
    save_environments(environments, out.with_name("environment.toml"))
    sandbox = open_sandbox(workers=options.jobs, environments=environments)
    pool = ThreadPoolExecutor(options.jobs, "forge")
    try:
        unusable, doubles = Counter[str](), Doubles()
        bench = _bench(repository, surroundings, options, sandbox, out, tell, pool)
        if options.commits:
            found, untried, unusable = revert_commits(bench, options.limit, options.allow_secrets)
        else:
            given = inject(bench, options.limit, options.pairs, options.by, options.seed)
            found, untried, doubles = given.tasks, given.untried, given.doubles
        tasks = deal(found, options.by, options.seed)
        baits = usual(len(tasks)) if options.impossible is None else options.impossible
        tasks += contradict(bench, tasks, baits, options.seed)
    finally:
        pool.shutdown(cancel_futures=True)
        sandbox.close()
    what = "commits" if options.commits else "bugs"
    known = bench.progress.known
    words = Counter(known[key].word for key in known if not key.startswith(KEY)) + unusable
    if not found:
        told = ", ".join(f"{count} {word}" for word, count in words.most_common())
        raise NothingMade(
            f"none of the {what} became a task: {told or 'the good tests call no function'}"
        )
    taskset = save_taskset(tasks, out, out.name.split(".")[0])
    bench.progress.path.unlink()
    return Made(
        taskset, repository, surroundings, bench.baseline, words, untried, generated,
        options.pytest_args, what, doubles, bench.progress.before,
    )  # fmt: skip


def _bench(repository: Repository, surroundings: Surroundings, options: Options,
           sandbox: Sandbox, out: Path, tell: Tell,
           pool: ThreadPoolExecutor) -> Workbench:  # fmt: skip
    tell("running the tests three times", 0, 1)
    suite = surroundings.suite(repository.name, options.suite_timeout_s, options.pytest_args)
    suite = replace(suite, paths=options.tests)
    words = "python -m pytest -o addopts= "
    words += shlex.join([*options.pytest_args, *options.tests])
    shown = (
        f"`toprope sandbox run --dir {repository.folder} --environment "
        f"{out.with_name('environment.toml')} --name {repository.name} -- {words}`"
    )
    progress = _progress(repository, surroundings, options, out)
    baseline = progress.baseline or progress.keep_baseline(
        measure(repository, suite, sandbox, shown)
    )
    most = options.most_tests
    return Workbench(repository, suite, baseline, sandbox, progress, pool, tell, most)


def _progress(repository: Repository, surroundings: Surroundings, options: Options,
              out: Path) -> Progress:  # fmt: skip
    depends: dict[str, Any] = {
        "version": VERSION,
        "tree": repository.tree.hash,
        "python": surroundings.version,
        "pytest": surroundings.pytest,
        "tests": [*options.tests, *options.pytest_args],
        "most_tests": options.most_tests,
        "seed": options.seed,
        "commits": options.commits,
    }
    if options.image:
        depends["image"] = options.image
    return Progress(out.with_name(f"{out.name}.progress"), depends, repository.tree).open()

"""From a repository to a taskset of proven bugs: open, measure, try, prove, deal, save.

Reads top to bottom. Every step that can take long tells how far it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path

from toprope.forge.repository.baseline import Baseline, measure
from toprope.forge.repository.bugs import broken_files, make_task
from toprope.forge.repository.dealing import By, deal
from toprope.forge.repository.pairs import Pair, pairs
from toprope.forge.repository.progress import Answer, Progress
from toprope.forge.repository.secrets import refuse_secrets
from toprope.forge.repository.sites import Candidate, candidates, find_sites
from toprope.forge.repository.source import Repository, open_repository
from toprope.forge.repository.surroundings import Surroundings, find_surroundings
from toprope.forge.repository.trial import Noticed, try_bug
from toprope.grading import prove
from toprope.sandbox import open_sandbox
from toprope.sandbox.protocol import Sandbox
from toprope.tasks import Taskset, save_environments, save_taskset
from toprope.terms import InfraError, Suite, Task, TopropeError

VERSION = 1  # of what a make writes; raised when the same repository would give other tasks
_RETRIES = 2
Bugs = Sequence[Candidate]


@dataclass(frozen=True)
class Options:
    """What a user can choose; see `toprope tasks make --help`."""

    root: str = ""
    python: str = ""
    setup: str = ""
    tests: tuple[str, ...] = ()
    pytest_args: tuple[str, ...] = ()
    suite_timeout_s: float = 600.0
    limit: int = 500
    pairs: float = 0.1
    by: By = By.FUNCTION
    seed: str = "0"
    jobs: int = 2
    allow_secrets: tuple[str, ...] = ()


@dataclass(frozen=True)
class Opened:
    """A repository whose tests were seen to run."""

    repository: Repository
    surroundings: Surroundings
    suite: Suite
    baseline: Baseline


@dataclass(frozen=True)
class Made:
    """A finished make: the taskset, and what became of every candidate."""

    taskset: Taskset
    opened: Opened
    words: Counter[str]
    untried: int


class NothingMade(TopropeError):
    """No bug of the repository became a task."""


Tell = Callable[[str, int, int], None]


def make(source: str, out: Path, options: Options, cache: Path, tell: Tell) -> Made:
    """Write proven tasks of `source` to `out`, and `environment.toml` beside it.

    A make that was stopped goes on where it was. Raises a `TopropeError` that says what to
    do when the repository cannot carry tasks.
    """
    repository = open_repository(source, options.root, cache)
    refuse_secrets(repository.tree.files, options.allow_secrets)
    surroundings = find_surroundings(repository, options.python, options.setup, cache)
    name = repository.name
    environments = {name: surroundings.environment}
    save_environments(environments, out.with_name("environment.toml"))
    sandbox = open_sandbox(workers=options.jobs, environments=environments)
    try:
        tell("running the tests", 0, 1)
        opened = _open(repository, surroundings, options, sandbox, out)
        progress = _progress(opened, options, out)
        singles, untried = _singles(opened, options, progress, sandbox, tell)
        doubles = _doubles(opened, options, progress, sandbox, tell, singles)
    finally:
        sandbox.close()
    tasks = deal([*singles.values(), *doubles], options.by, options.seed)
    if not tasks:
        words = Counter(answer.word for answer in progress.known.values())
        raise NothingMade(f"no bug became a task: {dict(words) or 'tests call no function'}")
    taskset = save_taskset(tasks, out, out.name.split(".")[0])
    words = Counter(answer.word for answer in progress.known.values())
    progress.path.unlink()
    return Made(taskset, opened, words, untried)


def _open(repository: Repository, surroundings: Surroundings, options: Options,
          sandbox: Sandbox, out: Path) -> Opened:  # fmt: skip
    suite = surroundings.suite(repository.name, options.suite_timeout_s, options.pytest_args)
    suite = replace(suite, paths=options.tests)
    words = " ".join(["python -m pytest -o addopts=", *options.pytest_args, *options.tests])
    shown = (
        f"`toprope sandbox run --dir {repository.folder} --environment "
        f"{out.with_name('environment.toml')} -- {words}`"
    )
    return Opened(repository, surroundings, suite, measure(repository, suite, sandbox, shown))


def _progress(opened: Opened, options: Options, out: Path) -> Progress:
    depends = {
        "version": VERSION,
        "tree": opened.repository.tree.hash,
        "python": opened.surroundings.version,
        "pytest": opened.surroundings.pytest,
        "tests": [*options.tests, *options.pytest_args],
        "seed": options.seed,
    }
    path = out.with_name(f"{out.name}.progress")
    return Progress(path, depends, opened.repository.tree).open()


def _singles(opened: Opened, options: Options, progress: Progress, sandbox: Sandbox,
             tell: Tell) -> tuple[dict[Candidate, Task], int]:  # fmt: skip
    """Try candidates in their order until the limit is reached; returns tasks, and how many
    candidates were left."""
    files = opened.repository.tree.files
    queue = candidates(find_sites(files, opened.baseline), options.seed)
    wanted = options.limit - round(options.limit * options.pairs)
    found: dict[Candidate, Task] = {}
    tried = 0
    for (candidate,), answer in _answers(((c,) for c in queue), opened, options, progress, sandbox):
        tried += 1
        if answer.task:
            found[candidate] = answer.task
        tell(f"{tried} tried", len(found), wanted)
        if len(found) >= wanted:
            break
    return found, len(queue) - tried


def _doubles(opened: Opened, options: Options, progress: Progress, sandbox: Sandbox,
             tell: Tell, singles: dict[Candidate, Task]) -> list[Task]:  # fmt: skip
    """Pairs of bugs that were proven alone, each of which the tests still notice."""
    wanted = min(round(options.limit * options.pairs), options.limit - len(singles))
    found: list[Task] = []
    queue = pairs(singles, options.by, options.seed)
    if wanted <= 0:
        return found
    for pair, answer in _answers(queue, opened, options, progress, sandbox):
        task = answer.task
        if task and all(set(task.fail_to_pass) & set(singles[bug].fail_to_pass) for bug in pair):
            found.append(task)
        tell("two bugs at once", len(found), wanted)
        if len(found) >= wanted:
            break
    return found


def _answers(queue: Iterator[tuple[Candidate, ...]] | Iterator[Pair], opened: Opened,
             options: Options, progress: Progress, sandbox: Sandbox,
             ) -> Iterator[tuple[tuple[Candidate, ...], Answer]]:  # fmt: skip
    """Yield each with its answer, in order, some tried ahead of time by other threads."""
    with ThreadPoolExecutor(options.jobs, "forge") as pool:
        while chunk := list(islice(queue, options.jobs * 8)):
            one = partial(_answer, opened, progress, sandbox)
            yield from zip(chunk, pool.map(one, chunk), strict=True)


def _answer(opened: Opened, progress: Progress, sandbox: Sandbox, bugs: Bugs) -> Answer:
    key = "+".join(bug.key for bug in bugs)
    if key in progress.known:
        return progress.known[key]
    answer = Answer(key, "infra")
    for _ in range(_RETRIES + 1):
        try:
            answer = _try(key, bugs, opened, sandbox)
            break
        except InfraError:
            continue
    progress.add(answer)
    return answer


def _try(key: str, bugs: Bugs, opened: Opened, sandbox: Sandbox) -> Answer:
    repository = opened.repository
    files = broken_files(repository, bugs)
    sites = [bug.site for bug in bugs]
    noticed = try_bug(repository.tree, files, sites, opened.baseline, opened.suite, sandbox)
    if not isinstance(noticed, Noticed):
        return Answer(key, noticed)
    task = make_task(repository, bugs, noticed)
    proof = prove(task, sandbox)
    return Answer(key, "task", task) if proof.ok else Answer(key, f"unproven: {_kind(proof.why)}")


def _kind(why: str) -> str:
    """The proof's sentence without names, so that like ones are counted together."""
    return why.partition(":")[0]

"""Runs a repository's own tests as it stands: which pass every time, and what each test calls.

Only tests that passed in every run carry tasks; the others are counted and named.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from toprope.forge.repository.places import is_doctest_of_code
from toprope.forge.repository.source import Repository
from toprope.grading import SuiteRun, run_suite
from toprope.sandbox.protocol import Sandbox
from toprope.terms import Suite, TopropeError

RUNS = 3
NETWORK = (
    "Network is unreachable", "Name or service not known", "name resolution",
    "getaddrinfo failed", "ConnectError", "ConnectionRefusedError", "urlopen error",
)  # fmt: skip
_MISSING = re.compile(r"No module named '([^']+)'")

Place = tuple[str, int]  # a file of the repository, and the first line of a function in it


class NoUsableTests(TopropeError):
    """The repository's tests cannot carry tasks; the message says why and what shows it."""


@dataclass(frozen=True)
class Baseline:
    """`good` tests with their seconds; for each function, the good tests that call it.

    `bad` says for each other test how it ended ("failed", "flaky", "network", "renamed", ...).
    """

    good: Mapping[str, float]
    callers: Mapping[Place, tuple[str, ...]]
    bad: Mapping[str, str] = field(default_factory=dict)

    def around(self, path: str) -> tuple[str, ...]:
        """The good tests that call any function of a file."""
        found = {name for (at, _), names in self.callers.items() if at == path for name in names}
        return tuple(sorted(found, key=lambda name: (self.good[name], name)))

    @property
    def counts(self) -> Counter[str]:
        """How many tests ended in which way, the good ones under "passed"."""
        return Counter({"passed": len(self.good)}) + Counter(self.bad.values())


def measure(repository: Repository, suite: Suite, sandbox: Sandbox, shown: str) -> Baseline:
    """Run all tests `RUNS` times; `shown` is a command that a user can repeat in the sandbox.

    Raises `NoUsableTests` if there are none, or none that passes.
    """
    runs = [_run(repository, suite, sandbox, at) for at in range(RUNS)]
    for run in runs:
        if run.fault or not run.outcomes:
            raise NoUsableTests(why_unusable(run, shown))
    good = {
        name: max(run.seconds.get(name, 0.0) for run in runs)
        for name, outcome in runs[0].outcomes.items()
        if outcome == "passed"
        and not is_doctest_of_code(name)
        and all(run.outcomes.get(name) == "passed" for run in runs)
    }
    every = dict.fromkeys(name for run in runs for name in run.outcomes)
    bad = {name: _kind(name, runs) for name in every if name not in good}
    if not good:
        told = ", ".join(f"{count} {kind}" for kind, count in Counter(bad.values()).items())
        cause = _cause(runs[1], repository)
        raise NoUsableTests(
            f"no test passes as the repository stands ({told}){cause}. See: {shown}"
        )
    return Baseline(good, _callers(runs[0], good), bad)


def _is_own(module: str, repository: Repository) -> bool:
    top = module.partition(".")[0]
    return any(
        f"{start}{top}/__init__.py" in repository.tree.files for start in ("", "src/", "lib/")
    )


def _run(repository: Repository, suite: Suite, sandbox: Sandbox, at: int) -> SuiteRun:
    return run_suite(
        sandbox, f"baseline:{at}", suite, {}, tree=repository.tree, texts=at == 1, calls=at == 0
    )


def why_unusable(run: SuiteRun, shown: str) -> str:
    """Return why a run of all tests gave no outcome; `shown` is a command that repeats it."""
    tail = "\n".join(run.output.strip().splitlines()[-12:])
    if run.fault in ("timeout", "limit"):
        return (
            f"the tests were stopped: {run.why}. Raise it with --suite-timeout, or name fewer "
            f"tests with --tests. See: {shown}\n{tail}"
        )
    if run.fault:
        return f"the tests ended without a result ({run.why}). See: {shown}\n{tail}"
    if run.error and not run.error.endswith(" 5"):
        return f"pytest could not run the tests ({run.error}). See: {shown}\n{tail}"
    return (
        "pytest finds no tests here. Name them with --tests; source distributions often leave "
        f"them out, then give a checkout of the repository. See: {shown}\n{tail}"
    )


def _cause(run: SuiteRun, repository: Repository) -> str:
    """What the tests say most often, as part of a sentence; a missing module is named."""
    texts = " ".join(run.texts.values())
    missing = Counter(_MISSING.findall(texts)).most_common(3)
    own = [name for name, _ in missing if _is_own(name, repository)]
    if own:
        return (
            f"; {own[0]} belongs to the repository and is not among its sources: a compiled "
            "extension or a generated module, which are not supported unless they are kept in it"
        )
    if missing:
        names = ", ".join(name for name, _ in missing)
        return f"; the environment lacks {names}: install it there, with --setup or by hand"
    last = Counter(text.strip().rpartition("\n")[2] for text in run.texts.values()).most_common(1)
    return f"; most often: {last[0][0][:200]}" if last and last[0][0] else ""


def _kind(name: str, runs: list[SuiteRun]) -> str:
    if is_doctest_of_code(name):
        return "doctest in code"
    ends = {run.outcomes.get(name, "absent") for run in runs}
    if "absent" in ends:
        return "renamed"  # its id holds an address, a time or a set's order
    if len(ends) > 1:
        return "flaky"
    end = ends.pop()
    text = runs[1].texts.get(name, "")
    if end in ("failed", "error") and any(words in text for words in NETWORK):
        return "network"
    return end


def _callers(run: SuiteRun, good: Mapping[str, float]) -> dict[Place, tuple[str, ...]]:
    """The good tests by the functions they call, those that call the fewest functions first."""
    found: dict[Place, list[str]] = defaultdict(list)
    width = {name: len(places) for name, places in run.calls.items()}
    for name in sorted(good, key=lambda test: (width.get(test, 0), good[test], test)):
        for path, line in run.calls.get(name, ()):
            found[path, line].append(name)
    return {place: tuple(names) for place, names in found.items()}

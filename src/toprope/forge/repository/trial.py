"""Tries one possible bug: do tests notice it, which, and what do they say?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil

from toprope.forge.repository.baseline import Baseline
from toprope.forge.repository.sites import Site
from toprope.grading import SuiteRun, run_suite
from toprope.sandbox.protocol import Sandbox
from toprope.terms import Suite, Tree

MOST_TESTS = 40
_MOST_FAILING = 30
_MOST_NEARBY = 12
_SLOWER = 4.0  # times what the tests took before, and a little more
_LEAST_S = 2.0
_MARGIN = 3.0  # how much sooner than the limit the run with the bug has to end


@dataclass(frozen=True)
class Noticed:
    """A bug that tests notice: which turn red, which stay green, the suite that runs both.

    `text` is the report of the shortest failure.
    """

    fail_to_pass: tuple[str, ...]
    pass_to_pass: tuple[str, ...]
    suite: Suite
    test: str
    text: str


def try_bug(tree: Tree, files: Mapping[str, str], sites: Sequence[Site], baseline: Baseline,
            suite: Suite, sandbox: Sandbox, most: int = MOST_TESTS) -> Noticed | str:  # fmt: skip
    """Run the tests that call the changed functions over `files`; a word says why it is no bug.

    At most `most` tests are run and then required; 0: all good tests of the repository.

    The words: "survived", "timeout", "limit", "ended" (the process did), "crash" (a file of
    tests could not even be loaded) and "everywhere" (too many tests notice).
    """
    tests = selected(sites, baseline, most)
    used = _narrowed(suite, tests, baseline)
    run = _ask(tree, files, used, tests, sandbox)
    if run.fault:
        return run.fault
    if any(name not in tests for name in run.outcomes):
        return "crash"
    red = tuple(name for name in tests if run.outcomes.get(name) in ("failed", "error"))
    green = tuple(name for name in tests if run.outcomes.get(name) == "passed")
    if not red:
        return "survived"
    if len(red) > _MOST_FAILING:
        return "everywhere"
    used = with_room(used, run.cpu_s)
    told = _ask(tree, files, used, red, sandbox, texts=True)
    texts = {name: told.texts[name] for name in red if told.texts.get(name)}
    if told.fault or not texts:
        return told.fault or "silent"
    shortest = min(texts, key=lambda name: (len(texts[name]), name))
    return Noticed(red, green, used, shortest, texts[shortest])


def selected(sites: Sequence[Site], baseline: Baseline, most: int) -> tuple[str, ...]:
    """The tests that call any of the sites, then quick ones of the same modules, then any quick.

    `most` of them, 0 for all. The second kind hardly ever turns red; it keeps a fix from
    breaking its surroundings. Up to the usual number it is a dozen for each site, and the
    third kind is left out: every test is paid for at every attempt.
    """
    if not most:
        return tuple(sorted(baseline.good))
    share = max(1, most // len(sites))
    chosen = dict.fromkeys(name for site in sites for name in site.tests[:share])
    beside = _MOST_NEARBY if most <= MOST_TESTS else most
    more = [name for site in sites for name in baseline.around(site.path)[:beside]]
    if most > MOST_TESTS:
        more += sorted(baseline.good, key=lambda name: (baseline.good[name], name))
    for name in more:
        if len(chosen) < most:
            chosen[name] = None
    return tuple(sorted(chosen))


def _narrowed(suite: Suite, tests: Sequence[str], baseline: Baseline) -> Suite:
    paths = tuple(dict.fromkeys(name.partition("::")[0] for name in tests))
    before = sum(baseline.good[name] for name in tests)
    return replace(suite, paths=paths, timeout_s=round(_LEAST_S + _SLOWER * before, 1))


def with_room(suite: Suite, cpu_s: float) -> Suite:
    """The suite with time enough also for the run with the bug, which took `cpu_s`.

    Failing may take far longer than passing (long tracebacks, a deep recursion). A start that
    ends only just in time ends otherwise on a busier machine.
    """
    if cpu_s * _MARGIN <= suite.timeout_s:
        return suite
    return replace(suite, timeout_s=float(ceil(_LEAST_S + _SLOWER * cpu_s)))


def _ask(tree: Tree, files: Mapping[str, str], suite: Suite, tests: Sequence[str],
         sandbox: Sandbox, texts: bool = False) -> SuiteRun:  # fmt: skip
    return run_suite(sandbox, "bug", suite, files, tree=tree, wanted=tests, texts=texts)

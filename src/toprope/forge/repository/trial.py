"""Tries one possible bug: do tests notice it, which, and what do they say?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from toprope.forge.repository.baseline import Baseline
from toprope.forge.repository.sites import Site
from toprope.grading import SuiteRun, run_suite
from toprope.sandbox.protocol import Sandbox
from toprope.terms import Suite, Tree

_MOST_TESTS = 40
_MOST_FAILING = 30
_MOST_NEARBY = 12
_SLOWER = 4.0  # times what the tests took before, and a little more
_LEAST_S = 2.0


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
            suite: Suite, sandbox: Sandbox) -> Noticed | str:  # fmt: skip
    """Run the tests that call the changed functions over `files`; a word says why it is no bug.

    The words: "survived", "timeout", "limit", "ended" (the process did), "crash" (a file of
    tests could not even be loaded) and "everywhere" (too many tests notice).
    """
    tests = _selected(sites, baseline)
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
    told = _ask(tree, files, used, red, sandbox, texts=True)
    texts = {name: told.texts[name] for name in red if told.texts.get(name)}
    if told.fault or not texts:
        return told.fault or "silent"
    shortest = min(texts, key=lambda name: (len(texts[name]), name))
    return Noticed(red, green, used, shortest, texts[shortest])


def _selected(sites: Sequence[Site], baseline: Baseline) -> tuple[str, ...]:
    """The tests that call any of the sites, then quick ones of the same modules: so many.

    The second kind hardly ever turns red; it keeps a fix from breaking its surroundings.
    """
    share = _MOST_TESTS // len(sites)
    chosen = dict.fromkeys(name for site in sites for name in site.tests[:share])
    nearby = [name for site in sites for name in baseline.around(site.path)[:_MOST_NEARBY]]
    chosen.update(dict.fromkeys(nearby[: max(0, _MOST_TESTS - len(chosen))]))
    return tuple(sorted(chosen))


def _narrowed(suite: Suite, tests: Sequence[str], baseline: Baseline) -> Suite:
    paths = tuple(dict.fromkeys(name.partition("::")[0] for name in tests))
    before = sum(baseline.good[name] for name in tests)
    return replace(suite, paths=paths, timeout_s=round(_LEAST_S + _SLOWER * before, 1))


def _ask(tree: Tree, files: Mapping[str, str], suite: Suite, tests: Sequence[str],
         sandbox: Sandbox, texts: bool = False) -> SuiteRun:  # fmt: skip
    return run_suite(sandbox, "bug", suite, files, tree=tree, wanted=tests, texts=texts)

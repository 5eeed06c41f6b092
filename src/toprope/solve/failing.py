"""Runs a repository's suite twice as it stands: which tests fail, what they say and call.

A test that ends otherwise the second time is flaky: it is neither mended nor required.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from toprope.forge.repository.baseline import NETWORK, Place, why_unusable
from toprope.forge.repository.places import is_doctest_of_code
from toprope.grading import SuiteRun, run_suite
from toprope.sandbox.protocol import Sandbox
from toprope.solve.bench import Bench
from toprope.terms import TopropeError

MOST_FAILING = 30
_SHOWN = 5
_BAD = ("failed", "error")


class NothingFails(TopropeError):
    """Every test that was asked for passes: there is nothing to solve."""


class CannotBegin(TopropeError):
    """The failing tests give no task; the message says why and what shows it."""


@dataclass(frozen=True)
class Failing:
    """`red` tests are to turn green, `green` ones to stay so; `aside` says why others are neither.

    `texts` is what pytest says about each red one; `calls` and `seconds` are of all tests.
    """

    red: tuple[str, ...]
    green: tuple[str, ...]
    aside: Mapping[str, str]
    texts: Mapping[str, str]
    calls: Mapping[str, Sequence[Place]]
    seconds: Mapping[str, float]

    @property
    def shortest(self) -> str:
        """The red test whose report is the shortest: the easiest to read."""
        return min(self.red, key=lambda name: (len(self.texts[name]), name))


def find_failing(bench: Bench, sandbox: Sandbox, wanted: Sequence[str] = ()) -> Failing:
    """Return the failing tests, of the `wanted` ones (ids, or beginnings of ids) if there are any.

    Raises:
        NothingFails: all of them pass.
        CannotBegin: too many fail, a file of tests cannot be loaded, or the suite does not run.
    """
    runs = [
        run_suite(
            sandbox, f"failing:{at}", bench.suite, {}, tree=bench.repository.tree,
            calls=at == 0, texts=at == 1,
        )
        for at in range(2)
    ]  # fmt: skip
    for run in runs:
        if run.fault or not run.outcomes:
            raise CannotBegin(why_unusable(run, bench.shown))
    called, told = runs
    red: list[str] = []
    green: list[str] = []
    aside: dict[str, str] = {}
    for name in dict.fromkeys([*told.outcomes, *called.outcomes]):
        word = _word(name, called, told, wanted)
        (red if word == "red" else green if word == "green" else []).append(name)
        if word not in ("red", "green"):
            aside[name] = word
    _refuse(bench, red, told, wanted)
    texts = {name: told.texts.get(name, "") for name in red}
    return Failing(tuple(red), tuple(green), aside, texts, called.calls, told.seconds)


def chosen(name: str, wanted: Sequence[str]) -> bool:
    """Tell whether a test is one of the wanted: itself, its file, its class or its function."""
    return any(
        name == one or name.startswith((f"{one}::", f"{one}[", f"{one.rstrip('/')}/"))
        for one in wanted
    )


def _word(name: str, called: SuiteRun, told: SuiteRun, wanted: Sequence[str]) -> str:
    first, second = (run.outcomes.get(name, "absent") for run in (called, told))
    if first != second:
        return "renamed" if "absent" in (first, second) else "flaky"
    if second == "passed":
        return "doctest in code" if is_doctest_of_code(name) else "green"
    if second not in _BAD:
        return second
    if any(words in told.texts.get(name, "") for words in NETWORK):
        return "wants the network"
    if is_doctest_of_code(name):
        return "doctest in code"
    return "red" if not wanted or chosen(name, wanted) else "fails, not asked for"


def _refuse(bench: Bench, red: Sequence[str], told: SuiteRun, wanted: Sequence[str]) -> None:
    """Raise unless there is something to mend that can be judged."""
    unknown = [one for one in wanted if not any(chosen(name, [one]) for name in told.outcomes)]
    if unknown:
        raise CannotBegin(f"pytest finds no test {unknown[0]!r} here. See: {bench.shown} --co")
    if not red:
        passed = sum(outcome == "passed" for outcome in told.outcomes.values())
        which = "of the tests that were named" if wanted else f"of {len(told.outcomes)} tests"
        raise NothingFails(f"none {which} fails every time ({passed} pass): nothing to solve")
    broken = [name for name in red if "::" not in name]
    if broken:
        last = told.texts.get(broken[0], "").strip().rpartition("\n")[2]
        raise CannotBegin(
            f"{broken[0]} cannot be loaded ({last[:200]}), so its tests have no verdict; mend the "
            f"import by hand first. See: {bench.shown} {broken[0]}"
        )
    if len(red) > MOST_FAILING:
        names = ", ".join(red[:_SHOWN])
        raise CannotBegin(
            f"{len(red)} tests fail ({names}, ...), more than the {MOST_FAILING} that one change "
            f"is likely to mend; name some with --test. See: {bench.shown}"
        )

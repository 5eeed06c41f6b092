"""What a unittest case tells of its end, and what an exception says of a test's end."""

from __future__ import annotations

import unittest
from typing import Any

import pytest

from .parameters import NotPlain


def ending(error: BaseException) -> str:
    """How a phase that raised `error` has ended: "failed", "skipped" or "xfailed"."""
    if isinstance(error, (pytest.exit.Exception, KeyboardInterrupt)):
        raise NotPlain("a test ends the session")
    if isinstance(error, (pytest.skip.Exception, unittest.SkipTest)):
        return "skipped"
    return "xfailed" if isinstance(error, pytest.xfail.Exception) else "failed"


class Listener:
    """A unittest result that remembers the first thing that went wrong, as pytest does."""

    shouldStop = False

    def __init__(self) -> None:
        self.endings: list[str] = []

    def startTest(self, test: object) -> None:
        """Nothing is told."""

    def stopTest(self, test: object) -> None:
        """Nothing is told."""

    def addSuccess(self, test: object) -> None:
        """Nothing is told."""

    def addDuration(self, test: object, elapsed: float) -> None:
        """Nothing is told."""

    def addError(self, test: object, raised: Any) -> None:
        """An exception in any part of the test."""
        self.endings.append(ending(raised[1]))

    def addFailure(self, test: object, raised: Any) -> None:
        """A comparison that did not hold."""
        self.endings.append(ending(raised[1]))

    def addSkip(self, test: object, reason: str) -> None:
        """The test did not want to run."""
        self.endings.append("skipped")

    def addExpectedFailure(self, test: object, raised: Any) -> None:
        """It failed as it was said to."""
        self.endings.append("xfailed")

    def addUnexpectedSuccess(self, test: object) -> None:
        """It passed although it was said to fail."""
        self.endings.append("failed")

    def addSubTest(self, test: object, subtest: object, raised: Any) -> None:
        """Parts of a test are counted differently by versions of pytest."""
        raise NotPlain("it has subtests")


def run_case(case: unittest.TestCase) -> str:
    """Run one method of a unittest class, and say how its call has ended."""
    listener = Listener()
    case(result=listener)  # type: ignore[arg-type]
    return listener.endings[0] if listener.endings else "passed"

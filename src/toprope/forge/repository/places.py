"""Which paths and test ids belong to the tests of a repository, by their names alone."""

from __future__ import annotations

from pathlib import PurePosixPath

from toprope.grading.pytest_ids import path_of, without_parameters

SETTING_UP = ("setup.py", "sitecustomize.py", "usercustomize.py")
_TEST_FOLDERS = {"test", "tests", "testing"}


def is_test(path: str) -> bool:
    """Tell whether a path belongs to the tests, not to what they test."""
    place = PurePosixPath(path)
    name = place.stem
    return bool(_TEST_FOLDERS.intersection(place.parts[:-1])) or (
        name in ("test", "tests", "conftest") or name.startswith("test_") or name.endswith("_test")
    )


def is_code(path: str) -> bool:
    """Tell whether a path is code that an attempt may change: no test, nothing that sets up."""
    name = PurePosixPath(path).name
    return path.endswith(".py") and not is_test(path) and name not in SETTING_UP


def is_doctest_of_code(test: str) -> bool:
    """Tell whether a test is written in the code it tests: its file cannot be laid over a fix."""
    path = path_of(test)
    code = path.endswith(".py") and not is_test(path)
    return code and "." in without_parameters(test).rpartition("::")[2]

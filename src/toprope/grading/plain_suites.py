"""Which suites may run by the quick runner, and what of pytest's configuration it has to know.

Read off the files alone, before anything runs: a suite with a conftest or an unusual
configuration is never plain. The runner finds out the rest by itself (see `inside.plain`),
and `prove` shows that both runners say the same before a task is given to it.
"""

from __future__ import annotations

import ast
import configparser
import logging
import posixpath
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from toprope.grading.canaries import Copy
from toprope.terms import Suite

_FILES = {
    "pytest.ini": "pytest",
    ".pytest.ini": "pytest",
    "pyproject.toml": "tool.pytest.ini_options",
    "tox.ini": "pytest",
    "setup.cfg": "tool:pytest",
}
_UNKNOWN = ("pytest.toml", ".pytest.toml")
# Keys without an effect on how a plain test ends: `addopts` is not used in grading.
_IDLE = {
    "addopts", "cache_dir", "console_output_style", "junit_family", "junit_suite_name", "log_cli",
    "markers", "minversion", "norecursedirs", "python_files", "testpaths", "xfail_strict",
}  # fmt: skip
_READ = {"filterwarnings", "log_cli_level"}


@dataclass(frozen=True, slots=True)
class Settings:
    """What the quick runner is told: filters of warnings, and the root logger's level if set."""

    filters: tuple[str, ...] = ()
    log_level: int | None = None

    def told(self, copies: Sequence[Copy]) -> dict[str, Any]:
        """The part of a request that is for the quick runner; it defines `copies` by itself."""
        listed = [[c.path, c.owner, c.after, c.name, c.line, c.text] for c in copies]
        return {"filters": list(self.filters), "log_level": self.log_level, "copies": listed}


def plain_settings(suite: Suite, files: Mapping[str, str]) -> Settings | None:
    """The settings under which `suite` is plain over `files`, or None if it is not."""
    if suite.args or not all(path.endswith(".py") for path in suite.paths):
        return None
    folders = {"", *(above for path in suite.paths for above in _above(path))}
    for folder in folders:
        if not _blank(files.get(posixpath.join(folder, "conftest.py"), "")):
            return None
        if any(posixpath.join(folder, name) in files for name in _UNKNOWN):
            return None
        if folder and any(posixpath.join(folder, name) in files for name in _FILES):
            return None
    for name, section in _FILES.items():
        if name in files:
            found = _section(name, files[name], section)
            if found is None:
                return None
            if found or name.endswith("pytest.ini"):
                return _settings(found)
    return Settings()


def _above(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[:end]) for end in range(1, len(parts) + 1)]


def _blank(text: str) -> bool:
    """Whether a conftest does nothing."""
    try:
        return all(isinstance(getattr(line, "value", None), ast.Constant)
                   for line in ast.parse(text).body)  # fmt: skip
    except (SyntaxError, ValueError):
        return False


@lru_cache(maxsize=64)
def _section(name: str, text: str, section: str) -> dict[str, Any] | None:
    """The keys of pytest's section of a file, {} without one; None for what cannot be read."""
    try:
        if name.endswith(".toml"):
            pytest_part = tomllib.loads(text).get("tool", {}).get("pytest", {})
            own = set(pytest_part) <= {"ini_options"}
            return dict(pytest_part.get("ini_options", {})) if own else None
        parser = configparser.RawConfigParser(strict=False)
        parser.read_string(text)
        return dict(parser[section]) if parser.has_section(section) else {}
    except (ValueError, AttributeError, TypeError, configparser.Error):
        return None


def _settings(keys: Mapping[str, Any]) -> Settings | None:
    if not set(keys) <= _IDLE | _READ:
        return None
    filters = keys.get("filterwarnings", [])
    if isinstance(filters, str):
        filters = [line.strip() for line in filters.split("\n") if line.strip()]
    level = keys.get("log_cli_level")
    number = None if level is None else logging.getLevelNamesMapping().get(str(level).upper())
    if level is not None and number is None:
        return None
    return Settings(tuple(str(line) for line in filters), number)

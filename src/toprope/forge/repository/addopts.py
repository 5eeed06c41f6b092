"""What of a repository's `addopts` decides which tests there are; the rest is not used.

A marker that keeps a thousand stress tests out of every run has to keep them out here, too;
reports, coverage and parallel workers are of no use in a sandbox.
"""

from __future__ import annotations

import configparser
import shlex
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

_SHORT = ("-m", "-k")
_LONG = ("--ignore", "--ignore-glob", "--deselect", "--import-mode")
_INI = (("pytest.ini", "pytest"), (".pytest.ini", "pytest"), ("tox.ini", "pytest"),
        ("setup.cfg", "tool:pytest"))  # fmt: skip


def selecting(files: Mapping[str, str]) -> tuple[str, ...]:
    """Return the arguments for pytest that select tests; none where a file cannot be read."""
    return tuple(_kept(_words(next(_found(files), ""))))


def _found(files: Mapping[str, str]) -> Iterator[Any]:
    """The `addopts` of each file with settings for pytest, in pytest's own order."""
    for name, section in (*_INI[:2], ("pyproject.toml", ""), *_INI[2:]):
        if name not in files:
            continue
        try:
            if section:
                parser = configparser.RawConfigParser(strict=False)
                parser.read_string(files[name])
                settings: Any = dict(parser[section]) if section in parser else None
            else:
                tool = tomllib.loads(files[name]).get("tool", {}).get("pytest")
                settings = tool.get("ini_options", tool) if tool is not None else None
        except (configparser.Error, tomllib.TOMLDecodeError, AttributeError):
            continue
        if settings is not None:
            yield settings.get("addopts", "")


def _words(addopts: Any) -> list[str]:
    try:
        return shlex.split(addopts) if isinstance(addopts, str) else [str(a) for a in addopts]
    except (TypeError, ValueError):
        return []


def _kept(words: list[str]) -> Iterator[str]:
    rest = iter(words)
    for word in rest:
        if word in (*_SHORT, *_LONG):
            following = next(rest, None)
            if following is not None:
                yield from (word, following)
        elif word.partition("=")[0] in _LONG or (word[:2] in _SHORT and word[1] != "-"):
            yield word

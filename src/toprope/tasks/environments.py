"""`environment.toml` beside a taskset: which interpreter and packages its suites run in here.

It names paths of one machine, so it is written anew elsewhere and is no part of a taskset.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from toprope.terms import Environment, TopropeError

FILE = "environment.toml"


class EnvironmentFault(TopropeError):
    """`environment.toml` cannot be used; the message names the entry and what is wrong."""


def load_environments(place: Path | str) -> dict[str, Environment]:
    """Return the environments of a file, or of the folder that a taskset lies in.

    A missing file means none.
    """
    path = Path(place)
    file = path if path.name.endswith(".toml") else (path if path.is_dir() else path.parent) / FILE
    if not file.is_file():
        return {}
    try:
        entries = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as fault:
        raise EnvironmentFault(f"{file}: not valid TOML ({fault})") from None
    return {name: _read(entry, f"{file}: [{name}]") for name, entry in entries.items()}


def save_environments(environments: Mapping[str, Environment], file: Path) -> None:
    """Write environments, keeping those of other names that are there already."""
    kept = {**load_environments(file), **environments}
    text = "".join(_written(name, environment) for name, environment in sorted(kept.items()))
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f"{file.name}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(file)


def _written(name: str, environment: Environment) -> str:
    values = asdict(environment)
    values["variables"] = [list(pair) for pair in environment.variables]
    lines = [f"{key} = {json.dumps(value)}" for key, value in values.items() if value]
    return "\n".join([f"[{json.dumps(name)}]", *lines]) + "\n\n"


def _read(entry: Any, where: str) -> Environment:
    if not isinstance(entry, dict):
        raise EnvironmentFault(f"{where}: expected a table")
    kinds = {field.name: str(field.type) for field in fields(Environment)}
    values: dict[str, Any] = {}
    for key, value in entry.items():
        wanted = kinds.get(key, "").partition("[")[0].replace("tuple", "list")
        if key not in kinds:
            raise EnvironmentFault(f"{where}: unknown key {key!r}; known are {', '.join(kinds)}")
        if type(value).__name__ != wanted:
            raise EnvironmentFault(f"{where}: {key} must be a {wanted}")
        values[key] = _frozen(value)
    return Environment(**values)


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value

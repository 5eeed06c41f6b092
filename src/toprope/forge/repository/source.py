"""Opens what tasks are made of: a folder, a git checkout, or a package's source distribution.

Files that git ignores stay out. It must not run anything of the repository.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from toprope.tasks import make_tree
from toprope.terms import TopropeError, Tree

_SKIPPED = {
    ".git", ".hg", ".svn", ".tox", ".nox", ".venv", "node_modules", "__pycache__",
    ".mypy_cache", ".pytest_cache", ".ruff_cache", ".eggs",
}  # fmt: skip
_PRODUCTS = {"build", "dist", "venv", "env"}  # at the top; deeper it may be a package's name
_LONGEST_FILE = 1 << 20
_PINNED = re.compile(r"^([A-Za-z0-9._-]+)==([A-Za-z0-9._+!-]+)$")
_LICENCES = (
    ("Apache License", "Apache-2.0"), ("MIT License", "MIT"), ("Permission is hereby granted, free",
    "MIT"), ("BSD 3-Clause", "BSD-3-Clause"), ("Redistribution and use in source", "BSD"),
    ("Mozilla Public License", "MPL-2.0"), ("GNU LESSER", "LGPL"), ("GNU GENERAL", "GPL"),
    ("PYTHON SOFTWARE FOUNDATION", "PSF-2.0"), ("ISC License", "ISC"),
)  # fmt: skip


class SourceError(TopropeError):
    """What was named cannot be opened as a repository; the message says what to give."""


@dataclass(frozen=True)
class Repository:
    """A repository's files as they will be seen: `folder` is where they lie, `left_out` why not.

    `version` is the pinned version, or the commit that is checked out, or "".
    """

    name: str
    version: str
    folder: Path
    tree: Tree
    licence: str
    left_out: tuple[str, ...] = ()


def open_repository(source: str, root: str, cache: Path) -> Repository:
    """Return the repository that `source` names; `root` is the part of it that counts."""
    pinned = _PINNED.match(source)
    folder = Path(source)
    if pinned and not folder.exists():
        folder = _download(pinned[1], pinned[2], cache)
    elif not folder.is_dir():
        raise SourceError(
            f"{source!r} is neither a folder nor NAME==VERSION of a package; give one of these"
        )
    name, version = (pinned[1], pinned[2]) if pinned else (folder.resolve().name, _commit(folder))
    inner = folder / root
    if not inner.is_dir():
        raise SourceError(f"--root {root!r} is no folder of {source!r}")
    files, left_out = _read(inner)
    if not files:
        raise SourceError(f"{inner} holds no files that git does not ignore")
    return Repository(
        name, version, inner, make_tree(files), _licence(folder, inner), tuple(left_out)
    )


def read_folder(folder: Path) -> dict[str, str]:
    """Return the files of a folder that count, by path; raises `SourceError` if there are none."""
    files = _read(folder)[0] if folder.is_dir() else {}
    if not files:
        raise SourceError(f"{folder} is no folder with files in it that git does not ignore")
    return files


def read_attempt(folder: Path, wanted: Callable[[str], bool]) -> tuple[dict[str, str], list[str]]:
    """Return the files of an attempt by path, and the paths of those that were left out.

    What git ignores, or what looks like a build's product, is read if it is `wanted`; folders
    of tools (`.git`, `.venv`, caches) are neither read nor named. Raises `SourceError` if there
    are none.
    """
    if not folder.is_dir():
        raise SourceError(f"{folder} is no folder; give one with the attempt's files in it")
    counted = set(_listed(folder))
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    every = {path.as_posix() for path in found if not _SKIPPED.intersection(path.parts)}
    files, lost = _texts(folder, sorted(counted | {path for path in every if wanted(path)}))
    if not files:
        raise SourceError(f"{folder} has no files in it that git does not ignore")
    return files, [*lost, *sorted(f"{path}: ignored" for path in every - set(files) - counted)]


def _read(folder: Path) -> tuple[dict[str, str], list[str]]:
    return _texts(folder, sorted(_listed(folder)))


def _texts(folder: Path, paths: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    files: dict[str, str] = {}
    left_out = []
    for path in paths:
        place = folder / path
        if place.is_symlink() or not place.is_file():
            left_out.append(f"{path}: not a plain file")
        elif place.stat().st_size > _LONGEST_FILE:
            left_out.append(f"{path}: larger than 1 MB")
        else:
            files[path] = place.read_bytes().decode("utf-8", "surrogateescape")
    return files, left_out


def _listed(folder: Path) -> Iterator[str]:
    """Yield the paths that count: git's, where there is git, else all but build products."""
    listed = git(folder, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    if listed is not None:
        yield from (path for path in listed.split("\0") if path)
        return
    for path in folder.rglob("*"):
        inner = PurePosixPath(path.relative_to(folder).as_posix())
        skipped = inner.parts[0] in _PRODUCTS or any(
            part in _SKIPPED or part.endswith(".egg-info") for part in inner.parts
        )
        if not skipped and (path.is_file() or path.is_symlink()):
            yield str(inner)


def _commit(folder: Path) -> str:
    return (git(folder, "rev-parse", "HEAD") or "").strip()


def git(folder: Path, *words: str, given: str = "") -> str | None:
    """Return what git says about the folder and the text `given`; None where it is no checkout."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *words],
            input=given, capture_output=True, text=True, check=False,
        )  # fmt: skip
    except OSError:
        return None
    return done.stdout if done.returncode == 0 else None


def _licence(*folders: Path) -> str:
    for folder in folders:
        for path in sorted(folder.glob("LICEN[CS]E*")):
            text = path.read_text(errors="replace") if path.is_file() else ""
            for words, name in _LICENCES:
                if words.lower() in text.lower():
                    return name
    return ""


def _download(name: str, version: str, cache: Path) -> Path:
    """Fetch a source distribution by pip and unpack it; returns its one folder."""
    place = cache / "sources" / f"{name}-{version}"
    if not place.is_dir():
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place.parent) as scratch:
            folder = Path(scratch) / place.name
            folder.mkdir()
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
            command += ["--no-binary", ":all:", "--dest", str(folder), f"{name}=={version}"]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                said = done.stderr.strip()[-300:]
                raise SourceError(f"pip could not fetch {name}=={version}: {said}")
            _unpack(next(iter(folder.iterdir())), folder)
            folder.replace(place)
    return next(path for path in sorted(place.iterdir()) if path.is_dir())


def _unpack(archive: Path, place: Path) -> None:
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive) as bundle:
            bundle.extractall(place)
    else:
        with tarfile.open(archive) as tar:
            tar.extractall(place, filter="data")
    archive.unlink()

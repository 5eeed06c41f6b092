"""Where source functions come from: pinned archives of published Python packages.

Reads the manifest, fetches archives through pip (which checks their SHA-256) and opens
them in memory: nothing of a package is ever installed or imported here. It must not know
what a function or a bug is.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from toprope.terms import InfraError, TopropeError

_TEST_FOLDERS = {"test", "tests", "testing", "_tests"}
_SKIPPED_FOLDERS = {
    "docs", "doc", "examples", "example", "benchmarks", "benchmark", "bench", "tools", "scripts",
    "_vendor", "vendor", "vendored", "_vendored", "extern", "externals", "_extern", "third_party",
    "conf", "locale", "migrations",
}  # fmt: skip
_FOREIGN_LICENCES = ("GNU General Public", "GNU Lesser", "Mozilla Public")
_LONGEST_FILE = 400_000


class ManifestError(TopropeError):
    """The sources manifest is not usable; the message says which entry and why."""


@dataclass(frozen=True)
class Package:
    """One pinned package. `far` packages are never trained on.

    `limit` stops after so many functions (0: never); only files that hold `marker` are read.
    """

    name: str
    version: str
    sha256: str
    licence: str
    archive: str = "sdist"
    far: bool = False
    limit: int = 0
    marker: str = ""


@dataclass(frozen=True)
class Archive:
    """The Python files of one package by path inside its archive: its modules, its tests."""

    package: Package
    modules: Mapping[str, str] = field(default_factory=dict)
    tests: Mapping[str, str] = field(default_factory=dict)


def read_manifest(path: Path) -> tuple[Package, ...]:
    """Return the pinned packages of `sources.toml`, in name order."""
    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8"))["package"]
        packages = [Package(**entry) for entry in entries]
    except (KeyError, TypeError, tomllib.TOMLDecodeError) as fault:
        raise ManifestError(f"{path}: {fault}; see the other entries for the keys") from None
    return tuple(sorted(packages, key=lambda package: package.name))


def fetch(package: Package, cache: Path) -> Path:
    """Return the package's archive in `cache`, downloaded by pip unless it is there already.

    Pip is given the pinned SHA-256; for a source distribution it may run the package's build
    back end to read its metadata, so the pin comes first. Raises `InfraError`.
    """
    folder = cache / f"{package.name}-{package.version}"
    for found in sorted(folder.glob("*")):
        if hashlib.sha256(found.read_bytes()).hexdigest() == package.sha256:
            return found
    with tempfile.TemporaryDirectory() as scratch:
        pins = Path(scratch) / "pins.txt"
        pins.write_text(f"{package.name}=={package.version} --hash=sha256:{package.sha256}\n")
        kind = "--no-binary" if package.archive == "sdist" else "--only-binary"
        command = [
            *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"),
            *(kind, package.name, "--require-hashes", "--dest", str(folder), "-r", str(pins)),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise InfraError(f"pip could not fetch {package.name}: {done.stderr.strip()[-300:]}")
    return next(iter(sorted(folder.glob("*"))))


def open_archive(package: Package, path: Path) -> Archive:
    """Read the Python files of an archive into memory, sorted into modules and tests."""
    modules: dict[str, str] = {}
    tests: dict[str, str] = {}
    for name, data in sorted(_python_files(path)):
        inner = _inner_path(name, path)
        if inner is None or len(data) > _LONGEST_FILE:
            continue
        try:
            text = data.decode("utf-8").replace("\r\n", "\n")
        except UnicodeDecodeError:
            continue
        if _is_test(inner):
            tests[inner] = text
        elif _is_wanted(inner, text, package):
            modules[inner] = text
    return Archive(package, modules, tests)


def _python_files(path: Path) -> Iterator[tuple[str, bytes]]:
    if path.suffix in {".whl", ".zip"}:
        with zipfile.ZipFile(path) as bundle:
            for name in bundle.namelist():
                if name.endswith(".py"):
                    yield name, bundle.read(name)
        return
    with tarfile.open(path) as bundle:
        for member in bundle:
            handle = bundle.extractfile(member) if member.isfile() else None
            if handle is not None and member.name.endswith(".py"):
                yield member.name, handle.read()


def _inner_path(name: str, archive: Path) -> str | None:
    """Return the path below the import root: without `name-version/` and `src/`."""
    parts = PurePosixPath(name).parts
    if archive.suffix != ".whl":
        parts = parts[1:]
    if parts and parts[0] in {"src", "lib"}:
        parts = parts[1:]
    return "/".join(parts) if parts else None


def _is_test(inner: str) -> bool:
    path = PurePosixPath(inner)
    stem = path.stem
    return bool(_TEST_FOLDERS.intersection(path.parts[:-1])) or (
        stem in {"test", "tests"} or stem.startswith("test_") or stem.endswith("_test")
    )


def _is_wanted(inner: str, text: str, package: Package) -> bool:
    path = PurePosixPath(inner)
    if _SKIPPED_FOLDERS.intersection(path.parts[:-1]) or inner in {"setup.py", "conftest.py"}:
        return False
    if package.marker not in text:
        return False
    return not any(name in text for name in _FOREIGN_LICENCES)

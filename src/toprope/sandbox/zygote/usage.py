"""What the processes of a job hold and have used, read from the worker's own /proc."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, NamedTuple

from . import mappings
from .procfs import read
from .watch import Excess

_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICK = os.sysconf("SC_CLK_TCK")
# Beyond the limits of a single process, so that one alone meets those first and always alike.
_SLACK_MB = 64
_SLACK_S = 0.5
EXTRA_PROCESSES = 2  # the room's first process, and a zombie about to be reaped


class Process(NamedTuple):
    """One process: its address space and what of it is resident, in bytes; processor seconds.

    `childrens_seconds` are those of the children that it has waited for.
    """

    pid: int
    state: str
    parent: int
    session: int
    size: int
    resident: int
    own_seconds: float
    childrens_seconds: float
    threads: int = 1

    @property
    def seconds(self) -> float:
        """Its own processor seconds and those of its ended children."""
        return self.own_seconds + self.childrens_seconds


class Unwaited:
    """Adds up the processor time of processes that ended without anybody waiting for them.

    The kernel forgets it: where a parent ignores SIGCHLD, it goes to nobody's account, and by
    many short processes a job could compute for ever. What is gone at a look should be found
    in the accounts of those that live, at this look or, as they are not read at once, the next.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._last: dict[int, Process] = {}
        self._missing = 0.0

    def look(self, found: list[Process]) -> None:
        """Take the census of this moment."""
        now = {process.pid: process for process in found}
        gone = sum(process.seconds for pid, process in self._last.items() if pid not in now)
        inherited = sum(
            now[pid].childrens_seconds - process.childrens_seconds
            for pid, process in self._last.items()
            if pid in now
        )
        missing = gone - inherited
        if missing > 0:
            self.seconds += self._missing
        else:
            self.seconds += max(0.0, self._missing + missing)
        self._missing = max(0.0, missing)
        self._last = now


class Unmapped:
    """Counts shared memory, whether its pages are resident or were taken out of all page tables.

    Only address space can hold it, so that is looked at first and costs nothing more; `own`
    is that of the worker, from which jobs are cloned.
    """

    def __init__(self, proc: int, own: int, most_mb: int) -> None:
        self.proc, self.own, self.most_mb = proc, own, most_mb
        self._closed: set[int] = set()

    def look(self, found: list[Process]) -> Excess | None:
        """The limit that is passed at this moment."""
        theirs = [process for process in found if process.parent != 1 and process.resident]
        if sum(max(0, process.size - self.own) for process in theirs) <= self.most_mb << 20:
            return None
        held: dict[int, int] = {}
        closed = set()
        for process in theirs:
            mapped = mappings.lines(self.proc, process.pid)
            if mapped is None:
                closed.add(process.pid)
            for inode, size in mappings.shared_memory(mapped or []).items():
                held[inode] = max(held.get(inode, 0), size)
        lasting, self._closed = closed & self._closed, closed
        if lasting:
            return Excess("limit", "a process hides the memory that it holds")
        if sum(held.values()) > self.most_mb << 20:
            return Excess("limit", f"more than {self.most_mb} MB of memory")
        return None


def census(proc: int) -> list[Process]:
    """Every process in the worker's namespace but the worker, its pid 1.

    `proc` is a descriptor of a /proc that shows only these.
    """
    names = [name for name in os.listdir(proc) if name.isdigit() and name != "1"]
    return [found for found in (process(proc, name) for name in names) if found]


def watchdog(
    proc: int, limits: dict[str, Any], used_before: float = 0.0
) -> Callable[[], Excess | None]:
    """A function that says which limit the job's processes pass together at this moment.

    What a clone still shares with the worker is not counted against the job, and neither are
    the seconds `used_before`.
    """
    worker = process(proc, "1")
    judge = judging(worker.resident if worker else 0, limits, used_before)
    unmapped = Unmapped(proc, worker.size if worker else 0, int(limits["memory_mb"]))

    def look() -> Excess | None:
        found = census(proc)
        return judge(found) or unmapped.look(found)

    return look


def judging(
    shared: int, limits: dict[str, Any], used_before: float = 0.0
) -> Callable[[list[Process]], Excess | None]:
    """The same of a census; `shared` is the resident bytes of the worker."""
    most_bytes = (int(limits["memory_mb"]) + _SLACK_MB) << 20
    most_seconds = used_before + limits["cpu_s"] + _SLACK_S
    unwaited = Unwaited()

    def excess(found: list[Process]) -> Excess | None:
        unwaited.look(found)
        if len(found) > limits["processes"] + EXTRA_PROCESSES:
            return Excess("limit", too_many(limits))
        if sum(max(0, process.resident - shared) for process in found) > most_bytes:
            return Excess("limit", f"more than {limits['memory_mb']} MB of memory")
        if sum(process.seconds for process in found) + unwaited.seconds > most_seconds:
            return Excess("timeout", too_slow(limits))
        return None

    return excess


def seconds(proc: int) -> float:
    """The processor time that all of them have used until now."""
    return sum(process.seconds for process in census(proc))


def too_slow(limits: dict[str, Any]) -> str:
    """The sentence for a job that computed too long."""
    return f"used more than {limits['cpu_s']:g} s of processor time"


def too_many(limits: dict[str, Any]) -> str:
    """The sentence for a job that started too many processes."""
    return f"more than {limits['processes']} processes"


def process(proc: int, pid: str) -> Process | None:
    """One process, None if it has ended."""
    # Counted from the end of the name, which the process chooses: state is the first.
    fields = read(proc, f"{pid}/stat").rpartition(b")")[2].split()
    if len(fields) < 22:
        return None
    own, childrens = int(fields[11]) + int(fields[12]), int(fields[13]) + int(fields[14])
    return Process(
        int(pid), fields[0].decode(), int(fields[1]), int(fields[3]),
        int(fields[20]), int(fields[21]) * _PAGE, own / _TICK, childrens / _TICK, int(fields[17]),
    )  # fmt: skip

"""What the processes of a job hold and have used, read from the worker's own /proc."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, NamedTuple

from .watch import Excess

_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICK = os.sysconf("SC_CLK_TCK")
# Beyond the limits of a single process, so that one alone meets those first and always alike.
_SLACK_MB = 64
_SLACK_S = 0.5
EXTRA_PROCESSES = 2  # the room's first process, and a zombie about to be reaped


class Process(NamedTuple):
    """One process: resident bytes, and processor seconds with those of ended children."""

    pid: int
    state: str
    parent: int
    session: int
    resident: int
    seconds: float
    threads: int = 1


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
    return lambda: judge(census(proc))


def judging(
    shared: int, limits: dict[str, Any], used_before: float = 0.0
) -> Callable[[list[Process]], Excess | None]:
    """The same of a census; `shared` is the resident bytes of the worker."""
    most_bytes = (int(limits["memory_mb"]) + _SLACK_MB) << 20
    most_seconds = used_before + limits["cpu_s"] + _SLACK_S

    def excess(found: list[Process]) -> Excess | None:
        if len(found) > limits["processes"] + EXTRA_PROCESSES:
            return Excess("limit", too_many(limits))
        if sum(max(0, process.resident - shared) for process in found) > most_bytes:
            return Excess("limit", f"more than {limits['memory_mb']} MB of memory")
        if sum(process.seconds for process in found) > most_seconds:
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


def read(proc: int, name: str, most: int = 1000) -> bytes:
    """The beginning of a file below /proc; empty when its process has just ended."""
    try:
        file = os.open(name, os.O_RDONLY, dir_fd=proc)
    except OSError:
        return b""
    try:
        return os.read(file, most)
    except OSError:
        return b""
    finally:
        os.close(file)


def process(proc: int, pid: str) -> Process | None:
    """One process, None if it has ended."""
    # Counted from the end of the name, which the process chooses: state is the first.
    fields = read(proc, f"{pid}/stat").rpartition(b")")[2].split()
    if len(fields) < 22:
        return None
    ticks = sum(int(field) for field in fields[11:15])
    return Process(
        int(pid), fields[0].decode(), int(fields[1]), int(fields[3]),
        int(fields[21]) * _PAGE, ticks / _TICK, int(fields[17]),
    )  # fmt: skip

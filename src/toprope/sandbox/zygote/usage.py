"""What the processes of a job hold and have used, read from the worker's own /proc."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .watch import Excess

_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICK = os.sysconf("SC_CLK_TCK")
# Beyond the limits of a single process, so that one alone meets those first and always alike.
_SLACK_MB = 64
_SLACK_S = 0.5
_EXTRA_PROCESSES = 2  # the room's first process, and a zombie about to be reaped


@dataclass(frozen=True)
class Usage:
    """Resident bytes, and processor seconds with those of ended children."""

    resident: int = 0
    seconds: float = 0.0


def watchdog(proc: int, limits: dict[str, Any]) -> Callable[[], Excess | None]:
    """A function that says which limit the job's processes pass together at this moment.

    `proc` is a descriptor of a /proc that shows the worker (pid 1) and its job only. What
    a clone still shares with the worker is not counted against the job.
    """
    shared = _read(proc, "1").resident
    most_bytes = (int(limits["memory_mb"]) + _SLACK_MB) << 20
    most_seconds = limits["cpu_s"] + _SLACK_S

    def excess() -> Excess | None:
        others = [name for name in os.listdir(proc) if name.isdigit() and name != "1"]
        if len(others) > limits["processes"] + _EXTRA_PROCESSES:
            return Excess("limit", f"more than {limits['processes']} processes")
        usages = [_read(proc, name) for name in others]
        if sum(max(0, usage.resident - shared) for usage in usages) > most_bytes:
            return Excess("limit", f"more than {limits['memory_mb']} MB of memory")
        if sum(usage.seconds for usage in usages) > most_seconds:
            return Excess("timeout", too_slow(limits))
        return None

    return excess


def too_slow(limits: dict[str, Any]) -> str:
    """The sentence for a job that computed too long."""
    return f"used more than {limits['cpu_s']:g} s of processor time"


def _read(proc: int, pid: str) -> Usage:
    try:
        file = os.open(f"{pid}/stat", os.O_RDONLY, dir_fd=proc)
    except OSError:  # it has just ended
        return Usage()
    try:
        # Counted from the end of the name, which the process chooses: state is the first.
        fields = os.read(file, 1000).rpartition(b")")[2].split()
        ticks = sum(int(field) for field in fields[11:15])
        return Usage(int(fields[21]) * _PAGE, ticks / _TICK)
    except (OSError, IndexError):
        return Usage()
    finally:
        os.close(file)

"""The worker's hold on a room: cloned with pipes to read from, ended with all in it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable
from typing import Any

from . import kernel

PIPES = ("output", "result", "status")


def make(names: Iterable[str], live: Callable[[dict[str, int]], Any]) -> tuple[int, dict[str, int]]:
    """Clone a room that does `live` with the writing ends of pipes of these names.

    Returns its first process and the reading ends.
    """
    reading, writing = pipes(names)
    try:
        pid = kernel.clone(kernel.ROOM)
    except OSError:
        close([*reading.values(), *writing.values()])
        raise
    if pid == 0:
        live(writing)
        os._exit(1)
    close(writing.values())
    return pid, reading


def pipes(names: Iterable[str]) -> tuple[dict[str, int], dict[str, int]]:
    """Fresh pipes: the reading ends and the writing ends, by name."""
    ends = {name: os.pipe() for name in names}
    return {name: end[0] for name, end in ends.items()}, {
        name: end[1] for name, end in ends.items()
    }


def end(pid: int) -> None:
    """Kill a room's first process; with it the kernel ends every process of the room."""
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def close(fds: Iterable[int]) -> None:
    """Close descriptors."""
    for fd in fds:
        os.close(fd)

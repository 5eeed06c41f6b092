"""The commands of a session without walls: each a plain process in a group of its own.

What a command leaves in its group ends with the session; what leaves the group survives.
"""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict

from toprope.sandbox.protocol import Limits, Result
from toprope.sandbox.unsafe_process import group_lives, kill_group
from toprope.sandbox.zygote import rooms, watch
from toprope.sandbox.zygote.endings import ending, stopped
from toprope.sandbox.zygote.leftovers import Leftovers

_Begin = Callable[[Mapping[str, int]], subprocess.Popen[bytes]]


class Commands:
    """Follows one command at a time, and remembers what they left running."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._groups: list[int] = []
        self._leftovers = Leftovers()

    def follow(self, begin: _Begin, seconds: float) -> Result:
        """Start a command with `begin`, which is given pipes to write to; wait for its end."""
        started = time.monotonic()
        reading, writing = rooms.pipes(rooms.PIPES)
        left = None
        try:
            try:
                process = begin(writing)
            except BaseException:
                os.close(writing["status"])
                raise
            finally:
                rooms.close([writing["output"], writing["result"]])
            gatherer, passed = self._await_end(process, reading, writing["status"], seconds)
            left = gatherer.drain("output")
        finally:
            rooms.close(fd for fd in reading.values() if fd != left)
        self._remember(process.pid, left)
        code = process.returncode
        ended = ending(code << 8 if code >= 0 else -code, asdict(self._limits))
        said = gatherer.contents()
        return Result(
            stdout=said["output"],
            result=said["result"],
            wall_ms=(time.monotonic() - started) * 1000,
            **(stopped(passed) if passed else ended),
        )

    def close(self) -> None:
        """Kill what the commands left in their groups."""
        for group in self._groups:
            kill_group(group)
        self._leftovers.close()

    def _await_end(
        self,
        process: subprocess.Popen[bytes],
        reading: dict[str, int],
        status: int,
        seconds: float,
    ) -> tuple[watch.Gatherer, watch.Excess | None]:
        def wait() -> None:
            process.wait()
            os.close(status)

        waiter = threading.Thread(target=wait)
        waiter.start()
        gatherer = watch.Gatherer(reading, self._limits.output_bytes, clipped=("output",))
        try:
            passed = gatherer.follow(seconds, self._leftovers.drain, until="status")
        except BaseException:
            kill_group(process.pid)
            raise
        if passed:
            kill_group(process.pid)
        waiter.join()
        return gatherer, passed

    def _remember(self, group: int, left: int | None) -> None:
        if left is not None:
            self._leftovers.keep(left)
        # Forgotten as soon as they are empty: their numbers may become somebody else's.
        self._groups = [number for number in (*self._groups, group) if group_lives(number)]

"""The worker's hold on the room of a session where there are no namespaces.

The room is what descends from the worker, and its box; a watchdog counts in both.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from . import disk, rooms, tasks, usage, watch, wipe
from .folder_room import Fence
from .hold import STATUS
from .offspring import Offspring
from .session import SPARE_PROCESSES


class Watchdog:
    """Which limit the processes of a room pass together; `first`, its first process, is ours.

    The processor time that all have used until now is not counted.
    """

    def __init__(
        self, offspring: Offspring, disk_watch: disk.Watch, limits: dict[str, Any], first: int
    ) -> None:
        self.offspring = offspring
        self.limits = limits
        self.first = first
        self.disk = disk_watch
        worker = usage.process(offspring.proc, str(os.getpid()))
        used = sum(process.seconds for process in offspring.census())
        self.judge = usage.judging(worker.resident if worker else 0, limits, used)

    def look(self) -> watch.Excess | None:
        """The limit that is passed at this moment."""
        found = self.offspring.census()
        if sum(each.threads for each in found) > self.limits["processes"] + usage.EXTRA_PROCESSES:
            return watch.Excess("limit", usage.too_many(self.limits))
        return self.judge(found) or self.disk.look(self._of_the_job(found))

    def last_look(self) -> watch.Excess | None:
        """What a job that has ended by itself wrote too much."""
        return self.disk.look([], now=True)

    def _of_the_job(self, found: list[usage.Process]) -> list[usage.Process]:
        return [process for process in found if process.pid != self.first]


class FolderHold:
    """A room in the fence's box; `before` is what its tree takes of the disk. See `Hold`."""

    def __init__(
        self,
        fence: Fence,
        offspring: Offspring,
        counter: tasks.Counter,
        limits: dict[str, Any],
        before: disk.Use,
    ) -> None:
        self.fence = fence
        self.offspring = offspring
        self.counter = counter
        self.limits = limits
        self.disk = disk.Watch(fence.proc, fence.box, limits, before)

    def make(self, live: Callable[[dict[str, int]], Any]) -> dict[str, int]:
        """Fork the first process."""
        reading, writing = rooms.pipes(STATUS)
        try:
            self.first = os.fork()
        except OSError:
            rooms.close([*reading.values(), *writing.values()])
            raise
        if self.first == 0:
            live(writing)
            os._exit(1)
        rooms.close(writing.values())
        return reading

    def end(self) -> None:
        """Kill all that descends from the worker and empty the box; OSError in vain."""
        self.offspring.end()
        wipe.wipe(self.fence.box)

    def census(self) -> list[usage.Process]:
        """All that descends from the worker."""
        return self.offspring.census()

    def watchdog(self) -> Callable[[], watch.Excess | None]:
        """See `Hold`; it looks at the disk too."""
        return Watchdog(self.offspring, self.disk, self.limits, self.first).look

    def last_look(self) -> watch.Excess | None:
        """The limit on the disk, if that is passed."""
        return self.disk.look([], now=True)

    def leader(self, told: int) -> int | None:
        """The same number: there is only one kind."""
        return told

    def bounds(self) -> dict[str, Any]:
        """What the kernel is told of processes, which depends on who else runs as this user."""
        most = self.counter.most(self.limits["processes"] + SPARE_PROCESSES)
        return {"user_processes": most}

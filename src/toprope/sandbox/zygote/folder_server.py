"""The worker's loop where there are no namespaces: rooms are forks with a folder of their own."""

from __future__ import annotations

import os
import socket
import time
from typing import Any

from . import disk, endings, folder_room, rooms, tasks, trees, usage, watch, wipe, wire
from .folder_room import Fence
from .offspring import Offspring
from .serve import Server

_EMPTYING_S = 5.0


class FolderServer(Server):
    """Answers jobs one after the other; each ends with all that descends from it."""

    def __init__(self, sock: socket.socket, fence: Fence, counter: tasks.Counter) -> None:
        super().__init__(sock, fence.proc, mapped_root=False)
        self.fence = fence
        self.counter = counter
        self.offspring = Offspring(fence.proc)
        self.sizes: dict[str, disk.Use] = {}

    def _answer(
        self, spec: dict[str, Any], text: bytes, stdin: bytes
    ) -> tuple[dict[str, Any], list[bytes]]:
        program = text.decode("utf-8")
        code = self.programs.compiled(program) if spec["trusted"] else program
        self._prepare(spec)
        started = time.monotonic()
        reading, writing = rooms.pipes(rooms.PIPES)
        first = os.fork()
        if first == 0:
            folder_room.live(spec, stdin, code, writing, self.fence)
        rooms.close(writing.values())
        try:
            gathered = self._gather(reading, spec, first)
        finally:
            self.offspring.end()
            rooms.close(reading.values())
            wipe.wipe(self.fence.box)
        answer = endings.verdict(gathered, spec["limits"])
        answer["wall_ms"] = (time.monotonic() - started) * 1000
        return answer, [gathered.pipes["output"], gathered.pipes["result"]]

    def _gather(self, reading: dict[str, int], spec: dict[str, Any], first: int) -> watch.Gathered:
        """Follow a job to its end, end what it left behind, and read what that had written."""
        limits = spec["limits"]
        watchdog = Watchdog(self.offspring, self.fence, limits, self._before(spec), first)
        gatherer = watch.Gatherer(reading, limits["output_bytes"])
        stopped = gatherer.follow(
            limits["wall_s"], watchdog.look, self.sock.fileno(), until="status"
        )
        stopped = stopped or watchdog.last_look()
        self.offspring.end()
        if not stopped:
            stopped = gatherer.follow(_EMPTYING_S, lambda: None)
        return watch.Gathered(gatherer.contents(), stopped)

    def _before(self, spec: dict[str, Any]) -> disk.Use:
        """What lies in the box when a job begins, its own files aside."""
        return self.sizes.get(spec.get("tree", ""), disk.Use(0, 0))

    def _keep(self, spec: dict[str, Any]) -> None:
        wire.send(self.sock, {"infra": "sessions need namespaces, which are forbidden here"})

    def _prepare(self, spec: dict[str, Any]) -> None:
        home = self.fence.trees
        if "forget" in spec:
            trees.forget(spec["forget"], home)
        if "tree_files" in spec:
            trees.unpack(spec["tree"], spec.pop("tree_files"), home)
            self.sizes[spec["tree"]] = disk.used(f"{home}/{spec['tree']}")
        spec["limits"]["user_processes"] = self.counter.most(spec["limits"]["processes"])


class Watchdog:
    """Which limit the processes of a job pass together; `first`, its first process, is ours."""

    def __init__(
        self,
        offspring: Offspring,
        fence: Fence,
        limits: dict[str, Any],
        before: disk.Use,
        first: int,
    ) -> None:
        self.offspring = offspring
        self.limits = limits
        self.first = first
        worker = usage.process(fence.proc, str(os.getpid()))
        self.judge = usage.judging(worker.resident if worker else 0, limits)
        self.disk = disk.Watch(fence.proc, fence.box, limits, before)

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

"""The worker's loop where there are no namespaces: rooms are forks with a folder of their own."""

from __future__ import annotations

import os
import socket
import time
from typing import Any, NoReturn

from . import disk, endings, folder_room, folder_session, rooms, tasks, trees, watch, wipe
from .folder_hold import FolderHold, Watchdog
from .folder_room import Fences
from .hold import Hold
from .offspring import Offspring
from .serve import Server

_EMPTYING_S = 5.0


class FolderServer(Server):
    """Answers jobs one after the other; each ends with all that descends from it."""

    def __init__(self, sock: socket.socket, fences: Fences, counter: tasks.Counter) -> None:
        super().__init__(sock, fences.jobs.proc, mapped_root=False)
        self.fence, self.session_fence = fences
        self.home = self.fence.trees
        self.counter = counter
        self.offspring = Offspring(self.proc)
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
        disk_watch = disk.Watch(self.proc, self.fence.box, limits, self._before(spec))
        watchdog = Watchdog(self.offspring, disk_watch, limits, first)
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

    def _hold(self, spec: dict[str, Any]) -> Hold:
        before = self._before(spec)
        return FolderHold(self.session_fence, self.offspring, self.counter, spec["limits"], before)

    def _live(
        self, spec: dict[str, Any], tree: dict[str, bytes], pipes: dict[str, int]
    ) -> NoReturn:
        most_bytes = (int(spec["limits"]["disk_mb"]) << 20) + self._before(spec).size
        fence = self.session_fence
        folder_session.live(spec, tree, pipes, self.programs, fence, most_bytes)

    def _prepare(self, spec: dict[str, Any]) -> None:
        if "forget" in spec:
            trees.forget(spec["forget"], self.home)
        if "tree_files" in spec:
            trees.unpack(spec["tree"], spec.pop("tree_files"), self.home)
            self.sizes[spec["tree"]] = disk.used(f"{self.home}/{spec['tree']}")
        spec["limits"]["user_processes"] = self.counter.most(spec["limits"]["processes"])

"""The worker's side of a session: relays requests to its room, watches it, and ends it.

A command that passes a limit of its own is killed; what the room holds as a whole, memory
and processes, ends the session. It watches between commands too, for what was left running.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable
from typing import Any

from . import rooms, usage, watch, wire
from .endings import ending, stopped
from .family import Family
from .hold import Hold
from .leftovers import Leftovers

_IDLE_MS = 50
_OPEN_S = 10.0
_FILES_S = 30.0  # for what only reads or writes files
_SEND_S = 10.0
_KILL_S = 2.0
_COMMANDS = ("run", "python")
_Answer = tuple[dict[str, Any], list[bytes]]


class Keeper:
    """Keeps one room by its `hold`; `sock` is the trainer's."""

    def __init__(self, sock: socket.socket, hold: Hold, limits: dict[str, Any]) -> None:
        self.sock = sock
        self.hold = hold
        self.limits = limits
        self.ended = ""  # why, once it has
        self.leftovers = Leftovers()

    def open(self, live: Callable[[dict[str, int]], Any]) -> None:
        """Make the room, whose first process does `live`; raises OSError if it fails."""
        self.control, theirs = socket.socketpair()
        self.control.settimeout(_SEND_S)
        reading = self.hold.make(lambda pipes: live({**pipes, "control": theirs.fileno()}))
        theirs.close()
        gatherer = watch.Gatherer(reading, self.limits["output_bytes"])
        late = gatherer.follow(_OPEN_S, lambda: None)
        rooms.close(reading.values())
        said = gatherer.contents()["status"].decode("utf-8", "replace")
        if late or said != "D":
            self.end("it could not be opened")
            raise OSError(said[1:] or "the room did not open")
        self._rest()

    def serve(self) -> None:
        """Answer the trainer until it closes the session or is gone (EOFError, `Abandoned`)."""
        poller = select.poll()
        poller.register(self.sock, select.POLLIN)
        try:
            while True:
                if not poller.poll(_IDLE_MS):
                    self._look_between()
                    continue
                request, blobs = wire.receive(self.sock)
                if request["do"] == "close":
                    return
                wire.send(self.sock, *self._answer(request, blobs))
                if request["do"] in _COMMANDS:
                    self._rest()
        finally:
            self.end("the session is closed")

    def end(self, why: str) -> None:
        """End every process of the session; `why` is what later requests are told."""
        if not self.ended:
            self.ended = why
            self.hold.end()
            self.control.close()
            self.leftovers.close()

    def _rest(self) -> None:
        """From now on, what runs does so in the background."""
        if not self.ended:
            self._between = self.hold.watchdog()

    def _look_between(self) -> None:
        if self.ended:
            return
        self.leftovers.drain()
        if len(self.hold.census()) == 1:  # only the first process: nothing can happen
            self._rest()
            return
        excess = self._between()
        if excess:
            self.end(f"{excess.why} between commands")

    def _answer(self, request: dict[str, Any], blobs: list[bytes]) -> _Answer:
        if self.ended:
            return {"ended": self.ended}, []
        started = time.monotonic()
        reading, writing = rooms.pipes(rooms.PIPES)
        left = None
        try:
            try:
                wire.send(self.control, {**request, **self.hold.bounds()}, blobs)
                socket.send_fds(self.control, [b"f"], [writing[name] for name in rooms.PIPES])
            finally:
                rooms.close(writing.values())
            bound = wire.MAX_FRAME if request["do"] == "changed" else self.limits["output_bytes"]
            gatherer = watch.Gatherer(reading, bound, clipped=("output",))
            answer = self._follow(gatherer, request.get("seconds", _FILES_S))
            if request["do"] in _COMMANDS and not self.ended:
                answer = self._left_too_much() or answer
            left = gatherer.drain("output")
        finally:
            rooms.close(fd for fd in reading.values() if fd != left)
        if left is not None:
            self.leftovers.keep(left)
        if self.ended:
            self.leftovers.close()
        contents = gatherer.contents()
        answer["wall_ms"] = (time.monotonic() - started) * 1000
        return answer, [contents["output"], contents["result"]]

    def _follow(self, gatherer: watch.Gatherer, seconds: float) -> dict[str, Any]:
        look = self.hold.watchdog()

        def excess() -> watch.Excess | None:
            self.leftovers.drain()
            found = look()
            if found and found.status == "limit":
                self.end(found.why)
            return found

        passed = gatherer.follow(seconds, excess, self.sock.fileno(), until="status")
        if not passed:
            return self._told(gatherer)
        if not self.ended:
            self._stop(gatherer)
        return stopped(passed)

    def _left_too_much(self) -> dict[str, Any] | None:
        """How a command ends that has ended by itself but passed a limit of the session."""
        found = self.hold.last_look()
        if not found:
            return None
        self.end(found.why)
        return stopped(found)

    def _told(self, gatherer: watch.Gatherer) -> dict[str, Any]:
        said = gatherer.contents()["status"].decode("utf-8", "replace")
        word = said.partition("\n")[2] or said
        if word.startswith("W"):
            return ending(int(word[1:]), self.limits)
        if word.startswith("L"):
            self.end(usage.too_many(self.limits))
            return stopped(watch.Excess("limit", self.ended))
        kinds = {"D": "done", "N": "refused", "T": "too_much"}
        if word[:1] in kinds:
            return {kinds[word[0]]: word[1:]}
        return {"infra": word[1:] or "the room ended without saying how"}

    def _stop(self, gatherer: watch.Gatherer) -> None:
        """Kill the command that runs; the session ends with it only if it cannot be killed."""
        gatherer.drop("result")
        deadline = time.monotonic() + _KILL_S
        family = None
        while time.monotonic() < deadline:
            said = gatherer.contents()["status"]
            if not family and said.startswith(b"P") and b"\n" in said:
                leader = self.hold.leader(int(said[1 : said.index(b"\n")]))
                family = Family(self.hold.census, leader)
            alive = family.kill() if family else 0
            if not gatherer.follow(watch.TICK_S, lambda: None, until="status") and not alive:
                return
        self.end("its first process does not answer")

"""The worker's loop: a job comes in, a room is cloned for it, its result goes out.

Or a session comes in, and the loop is its keeper's until it is closed.
"""

from __future__ import annotations

import ctypes
import gc
import os
import socket
import time
from typing import Any, NoReturn

from . import endings, kernel, room, rooms, seccomp, session, trees, usage, watch, wire
from .hold import Hold, NamespaceHold
from .keeper import Keeper
from .programs import Programs
from .root import TREES


class Server:
    """Answers jobs one after the other; `proc` is the handle on this namespace's /proc."""

    def __init__(self, sock: socket.socket, proc: int, mapped_root: bool) -> None:
        self.sock = sock
        self.proc = proc
        self.mapped_root = mapped_root
        self.home = TREES
        self.filter: ctypes.Structure = seccomp.prepare(kernel.MACHINE)
        self.programs = Programs()

    def forever(self) -> None:
        """Serve until the other end closes the socket."""
        gc.collect()
        gc.freeze()
        while True:
            try:
                header, blobs = wire.receive(self.sock)
                if header.get("session"):
                    self._keep(header)
                    continue
                try:
                    answer, blobs = self._answer(header, *blobs)
                except OSError as error:
                    answer, blobs = {"infra": f"{error}"}, []
                wire.send(self.sock, answer, blobs)
            except (EOFError, ConnectionError, watch.Abandoned):
                return

    def _answer(
        self, spec: dict[str, Any], text: bytes, stdin: bytes
    ) -> tuple[dict[str, Any], list[bytes]]:
        program = text.decode("utf-8")
        code = self.programs.compiled(program) if spec["trusted"] else program
        self._prepare(spec)
        started = time.monotonic()
        pid, reading = rooms.make(
            rooms.PIPES, lambda pipes: room.live(spec, stdin, code, pipes, self.filter)
        )
        try:
            limits = spec["limits"]
            excess = usage.watchdog(self.proc, limits)
            gathered = watch.collect(reading, limits, excess, self.sock.fileno())
        finally:
            rooms.end(pid)
            rooms.close(reading.values())
        answer = endings.verdict(gathered, limits)
        answer["wall_ms"] = (time.monotonic() - started) * 1000
        return answer, [gathered.pipes["output"], gathered.pipes["result"]]

    def _keep(self, spec: dict[str, Any]) -> None:
        """Open a session, say so, and serve it until it is closed; say that too."""
        try:
            self._prepare(spec)
            tree = trees.digests(spec["tree"], self.home) if "tree" in spec else {}
            keeper = Keeper(self.sock, self._hold(spec), spec["limits"])
            keeper.open(lambda pipes: self._live(spec, tree, pipes))
        except OSError as error:
            wire.send(self.sock, {"infra": f"{error}"})
            return
        wire.send(self.sock, {"done": ""})
        keeper.serve()
        wire.send(self.sock, {"done": ""})

    def _hold(self, spec: dict[str, Any]) -> Hold:
        return NamespaceHold(self.proc, spec["limits"])

    def _live(
        self, spec: dict[str, Any], tree: dict[str, bytes], pipes: dict[str, int]
    ) -> NoReturn:
        session.live(spec, tree, pipes, self.programs, self.filter)

    def _prepare(self, spec: dict[str, Any]) -> None:
        if "forget" in spec:
            trees.forget(spec["forget"])
        if "tree_files" in spec:
            trees.unpack(spec["tree"], spec.pop("tree_files"))
        spec["limits"]["mapped_root"] = self.mapped_root


def reserve_low_descriptors() -> None:
    """Occupy 3 to 9, so that a job's own low descriptors never collide with ours."""
    null = os.open(os.devnull, os.O_RDWR)
    for fd in range(3, 10):
        try:
            os.fstat(fd)
        except OSError:
            os.dup2(null, fd, inheritable=False)
    os.dup2(null, 2)  # nobody reads the start's messages any more
    if null > 9:
        os.close(null)
    room.forbid_cores()

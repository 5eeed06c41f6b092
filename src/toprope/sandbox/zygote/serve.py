"""The worker's loop: a job comes in, a room is cloned for it, its result goes out."""

from __future__ import annotations

import ctypes
import gc
import os
import resource
import signal
import socket
import time
from types import CodeType
from typing import Any

from . import kernel, room, seccomp, trees, usage, watch, wire

_KEPT_PROGRAMS = 8


class Server:
    """Answers jobs one after the other; `proc` is the handle on this namespace's /proc."""

    def __init__(self, sock: socket.socket, proc: int, mapped_root: bool) -> None:
        self.sock = sock
        self.proc = proc
        self.mapped_root = mapped_root
        self.filter: ctypes.Structure = seccomp.prepare(kernel.MACHINE)
        self.compiled: dict[str, CodeType] = {}

    def forever(self) -> None:
        """Serve until the other end closes the socket."""
        gc.collect()
        gc.freeze()
        while True:
            try:
                header, (program, stdin) = wire.receive(self.sock)
            except (EOFError, ConnectionError):
                return
            try:
                answer, blobs = self._answer(header, program.decode("utf-8"), stdin)
            except watch.Abandoned:
                return
            except OSError as error:
                answer, blobs = {"infra": f"{error}"}, []
            wire.send(self.sock, answer, blobs)

    def _answer(
        self, spec: dict[str, Any], program: str, stdin: bytes
    ) -> tuple[dict[str, Any], list[bytes]]:
        code: str | CodeType = self._kept(program) if spec["trusted"] else program
        if "forget" in spec:
            trees.forget(spec["forget"])
        if "tree_files" in spec:
            trees.unpack(spec["tree"], spec.pop("tree_files"))
        spec["limits"]["mapped_root"] = self.mapped_root
        started = time.monotonic()
        ends = {name: os.pipe() for name in ("output", "result", "status")}
        try:
            pid = kernel.clone(kernel.ROOM)
        except OSError:
            _close(fd for pair in ends.values() for fd in pair)
            raise
        if pid == 0:
            writing = {name: pair[1] for name, pair in ends.items()}
            room.live(spec, stdin, code, writing, self.filter)
        _close(pair[1] for pair in ends.values())
        reading = {name: pair[0] for name, pair in ends.items()}
        try:
            limits = spec["limits"]
            excess = usage.watchdog(self.proc, limits)
            gathered = watch.collect(reading, limits, excess, self.sock.fileno())
        finally:
            # Its pid 1: with it the kernel ends every process of the room.
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            _close(reading.values())
        answer = verdict(gathered, limits)
        answer["wall_ms"] = (time.monotonic() - started) * 1000
        return answer, [gathered.pipes["output"], gathered.pipes["result"]]

    def _kept(self, program: str) -> CodeType:
        code = self.compiled.get(program)
        if code is None:
            if len(self.compiled) >= _KEPT_PROGRAMS:
                self.compiled.clear()
            code = self.compiled[program] = compile(program, "program", "exec")
        return code


def verdict(gathered: watch.Gathered, limits: dict[str, Any]) -> dict[str, Any]:
    """How the job ended, in the words of `Result`, or `infra` if the room failed."""
    if gathered.stopped:
        return {**vars(gathered.stopped), "returncode": -9}
    said = gathered.pipes["status"].decode("utf-8", "replace")
    if not said.startswith("W"):
        return {"infra": said[1:] or "the room ended without saying how"}
    return ending(int(said[1:]), limits)


def ending(wait_status: int, limits: dict[str, Any]) -> dict[str, Any]:
    """A wait status in the words of `Result`."""
    code = os.waitstatus_to_exitcode(wait_status)
    if code == -signal.SIGXCPU:
        return {"status": "timeout", "returncode": code, "why": usage.too_slow(limits)}
    if code < 0:
        return {"status": "signalled", "returncode": code, "why": f"died of signal {-code}"}
    return {"status": "exited", "returncode": code, "why": f"exited with {code}"}


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
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _close(fds: Any) -> None:
    for fd in fds:
        os.close(fd)

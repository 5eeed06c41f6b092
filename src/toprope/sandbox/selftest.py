"""Looks at the walls from inside a job, before anything untrusted runs behind them."""

from __future__ import annotations

import json
from typing import Protocol

from toprope.sandbox.protocol import Job, Result, SandboxError, SandboxUnavailable, Walls

_LOOK = """
import ctypes, errno, json, os, resource, socket

def fails(action):
    try:
        action()
    except OSError:
        return True
    return False

def unreachable(address):
    try:
        with socket.socket(type=socket.SOCK_DGRAM) as sock:
            sock.connect((address, 9))
    except OSError as error:
        return error.errno == errno.ENETUNREACH
    return False

libc = ctypes.CDLL(None, use_errno=True)
hidden = ("/home", "/root/.ssh", "/etc/shadow", "/proc/1", "/sys")
outside = [name for name in hidden if os.path.exists(name)]
header, data = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
libc.capget(ctypes.byref(header), ctypes.byref(data))
seen = {
    "files": not outside and fails(lambda: open("/usr/x", "w")) and fails(lambda: open("/x", "w")),
    "workspace": not fails(lambda: open("here", "w")),
    "processes": os.getpid() == 2 and os.getppid() == 1,
    "network": unreachable("127.0.0.1") and unreachable("192.0.2.1"),
    "user": os.getuid() != 0 and os.geteuid() == os.getuid(),
    "capabilities": not any(data),
    "no new privileges": libc.prctl(39, 0, 0, 0, 0) == 1,
    "system-call filter": libc.prctl(21, 0, 0, 0, 0) == 2 and libc.unshare(0x10000000) == -1,
    "resource limits": resource.getrlimit(resource.RLIMIT_NPROC)[1] < 100,
}
os.write(RESULT_FD, json.dumps(seen).encode())
"""
WATCHED = ("memory watchdog", "time limit")


class Runner(Protocol):
    """A sandbox, or a single worker of one."""

    def run(self, job: Job) -> Result:
        """Run one job."""


def inspect_walls(sandbox: Runner) -> Walls:
    """Run the look inside; raises `SandboxUnavailable` unless every wall is seen to stand."""
    return Walls("namespaces", True, (*standing(sandbox, _LOOK), *WATCHED))


def standing(sandbox: Runner, look: str) -> tuple[str, ...]:
    """The walls that the program `look` saw from inside, if it saw all that it looked for."""
    try:
        result = sandbox.run(Job(id="self-test", files={}, program=look))
    except SandboxError as error:
        fix = "Use Linux 5.14 or newer; there it is a bug to report."
        raise SandboxUnavailable((str(error),), fix) from error
    try:
        seen = {str(name): bool(stands) for name, stands in json.loads(result.result).items()}
    except (ValueError, AttributeError):
        seen = {}
    missing = tuple(name for name, stands in seen.items() if not stands)
    if missing or not seen:
        said = result.stdout.decode("utf-8", "replace").strip()[-300:]
        raise SandboxUnavailable(
            missing or (f"the self-test did not finish: {result.why} {said}".strip(),),
            "The walls were raised, but seen from inside they do not hold; please report this "
            "with the output of `uname -a`.",
        )
    return tuple(seen)

"""What the system-call filter has to refuse besides, where a job shares the host's namespaces.

There a job sees the host's process ids, System V objects and sockets, and an ordinary user's
job has that user's id. Landlock covers opening, not: sockets by name, the owner's rights over
files and processes, notification, and some ways to be told of or to stop others. It stands
beside `seccomp`'s own filter; the kernel takes the stricter answer of the two.
"""

from __future__ import annotations

import ctypes
import errno

from .bpf import (
    ALLOW,
    EQUAL,
    LOAD,
    MASK,
    NUMBER,
    RETURN,
    Instruction,
    argument,
    assemble,
    fail,
    when,
)

# name: number on x86_64, number on aarch64 (None: does not exist there)
_REFUSED: dict[str, tuple[int | None, int]] = {
    "inotify_init1": (294, 26), "inotify_add_watch": (254, 27), "semctl": (66, 191),
    "semtimedop": (220, 192), "msgrcv": (70, 188), "msgctl": (71, 187), "shmdt": (67, 197),
    "mq_unlink": (241, 181), "setxattr": (188, 5), "lsetxattr": (189, 6), "fsetxattr": (190, 7),
    "removexattr": (197, 14), "lremovexattr": (198, 15), "fremovexattr": (199, 16),
    "connect": (42, 203), "bind": (49, 200), "listen": (50, 201), "accept": (43, 202),
    "accept4": (288, 242),
    # Descriptors on their way through a socket would be files that no watchdog finds.
    "sendmsg": (46, 211), "sendmmsg": (307, 269),
    "chown": (92, 55), "lchown": (94, 54), "fchown": (93, 55), "fchownat": (260, 54),
}  # fmt: skip
_INOTIFY_INIT = {"x86_64": 253}
_TRUNCATE = {"x86_64": 76, "aarch64": 45}
_CALLS = {  # the ones whose arguments decide
    "x86_64": {
        "socket": 41, "socketpair": 53, "prlimit64": 302, "fcntl": 72, "ioctl": 16, "prctl": 157,
        "setpriority": 141, "ioprio_set": 251, "sched_setparam": 142, "sched_setscheduler": 144,
        "sched_setaffinity": 203, "sched_setattr": 314,
    },
    "aarch64": {
        "socket": 198, "socketpair": 199, "prlimit64": 261, "fcntl": 25, "ioctl": 29, "prctl": 167,
        "setpriority": 140, "ioprio_set": 30, "sched_setparam": 118, "sched_setscheduler": 119,
        "sched_setaffinity": 122, "sched_setattr": 274,
    },
}  # fmt: skip
_OF_ONESELF = ("prlimit64", "sched_setparam", "sched_setscheduler", "sched_setaffinity",
               "sched_setattr")  # fmt: skip
# Owners to be signalled, leases that stop other readers, notes about folders, large pipes.
_FCNTL_REFUSED = (8, 10, 15, 1024, 1026, 1031)
# TCGETS(2), TIOCGPGRP, TIOCGWINSZ, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX: no file's attributes.
_IOCTL_ALLOWED = (0x5401, 0x802C542A, 0x540F, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)
_AF_UNIX, _STREAM, _SEQPACKET, _KIND_OF_SOCKET = 1, 1, 5, 0xF
_PRIO_PROCESS, _IOPRIO_PROCESS, _SET_DUMPABLE = 0, 1, 4


def prepare(machine: str, truncation: bool) -> ctypes.Structure:
    """The filter as the kernel wants it; `truncation` says that Landlock covers that."""
    return assemble(build(machine, truncation))


def build(machine: str, truncation: bool) -> list[Instruction]:
    """The filter program; `seccomp`'s own has seen to the machine and to unknown calls."""
    program: list[Instruction] = [(LOAD, 0, 0, NUMBER)]
    column = 0 if machine == "x86_64" else 1
    refused = [pair[column] for pair in _REFUSED.values()] + [_INOTIFY_INIT.get(machine)]
    if not truncation:
        refused.append(_TRUNCATE[machine])
    for number in sorted({number for number in refused if number is not None}):
        program += [(EQUAL, 0, 1, number), fail(errno.EPERM)]
    return [*program, *_by_argument(_CALLS[machine]), (RETURN, 0, 0, ALLOW)]


def _by_argument(calls: dict[str, int]) -> list[Instruction]:
    program = when(calls["socket"], [fail(errno.EACCES)])
    # Connected for good: a pair of datagram sockets could send to any other by name.
    program += when(calls["socketpair"], [
        *_only(0, (_AF_UNIX,), errno.EACCES),
        argument(1), (MASK, 0, 0, _KIND_OF_SOCKET), *_among((_STREAM, _SEQPACKET), errno.EACCES),
    ])  # fmt: skip
    for call in _OF_ONESELF:
        program += when(calls[call], _only(0, (0,), errno.EPERM))
    for call, kind in (("setpriority", _PRIO_PROCESS), ("ioprio_set", _IOPRIO_PROCESS)):
        both = [*_only(0, (kind,), errno.EPERM), *_only(1, (0,), errno.EPERM)]
        program += when(calls[call], both)
    program += when(calls["ioctl"], _only(1, _IOCTL_ALLOWED, errno.ENOTTY))
    owned = [argument(1)]
    for command in _FCNTL_REFUSED:
        owned += [(EQUAL, 0, 1, command), fail(errno.EPERM)]
    program += when(calls["fcntl"], owned)
    # The watchdog has to see what files a process holds open.
    seen = [argument(0), (EQUAL, 0, 3, _SET_DUMPABLE), *_only(1, (1,), errno.EPERM)]
    return program + when(calls["prctl"], seen)


def _only(position: int, values: tuple[int, ...], error: int) -> list[Instruction]:
    """Go on if an argument is one of these, else fail."""
    return [argument(position), *_among(values, error)]


def _among(values: tuple[int, ...], error: int) -> list[Instruction]:
    tests = [(EQUAL, len(values) - at, 0, value) for at, value in enumerate(values)]
    return [*tests, fail(error)]

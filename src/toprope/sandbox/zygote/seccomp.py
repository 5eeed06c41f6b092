"""The system-call filter around a job: a deny list and an allow list of socket families.

A namespace does not cover everything: AF_VSOCK passes through a network namespace, and
keyrings, io_uring or nested user namespaces only widen what a job can attack. Memory that
belongs to no process (memfd, System V) is denied because the watchdog could not see it.
Protocols are named too, because to ask for another makes the host's kernel load its module.
"""

from __future__ import annotations

import ctypes
import errno

from . import kernel
from .bpf import (
    ALLOW,
    ANYBIT,
    ARCH,
    ATLEAST,
    EQUAL,
    KILL,
    LOAD,
    NUMBER,
    RETURN,
    Instruction,
    argument,
    assemble,
    fail,
    when,
)

# name: number on x86_64, number on aarch64 (None: does not exist there)
DENIED: dict[str, tuple[int, int | None]] = {
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51),
    "unshare": (272, 97), "setns": (308, 268), "ptrace": (101, 117), "kcmp": (312, 272),
    "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "bpf": (321, 280),
    "perf_event_open": (298, 241), "userfaultfd": (323, 282), "keyctl": (250, 219),
    "add_key": (248, 217), "request_key": (249, 218), "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426), "io_uring_register": (427, 427), "init_module": (175, 105),
    "finit_module": (313, 273), "delete_module": (176, 106), "kexec_load": (246, 104),
    "kexec_file_load": (320, 294), "reboot": (169, 142), "swapon": (167, 224),
    "swapoff": (168, 225), "syslog": (103, 116), "acct": (163, 89), "quotactl": (179, 60),
    "quotactl_fd": (443, 443), "settimeofday": (164, 170), "clock_settime": (227, 112),
    "clock_adjtime": (305, 266), "adjtimex": (159, 171), "sethostname": (170, 161),
    "setdomainname": (171, 162), "iopl": (172, None), "ioperm": (173, None),
    "open_by_handle_at": (304, 265), "name_to_handle_at": (303, 264),
    "lookup_dcookie": (212, 18), "nfsservctl": (180, 42), "vhangup": (153, 58),
    "fanotify_init": (300, 262), "fanotify_mark": (301, 263), "memfd_create": (319, 279),
    "memfd_secret": (447, 447), "shmget": (29, 194), "shmat": (30, 196), "shmctl": (31, 195),
    "msgget": (68, 186), "msgsnd": (69, 189), "semget": (64, 190), "semop": (65, 193),
    "mq_open": (240, 180), "move_pages": (279, 239), "mbind": (237, 235),
    "set_mempolicy": (238, 237), "migrate_pages": (256, 238),
    "set_mempolicy_home_node": (450, 450), "fsopen": (430, 430), "fsconfig": (431, 431),
    "fsmount": (432, 432), "fspick": (433, 433), "open_tree": (428, 428),
    "move_mount": (429, 429), "mount_setattr": (442, 442), "pidfd_getfd": (438, 438),
    "modify_ldt": (154, None), "uselib": (134, None), "ustat": (136, None),
    "sysfs": (139, None), "vmsplice": (278, 75), "seccomp": (317, 277),
    "personality": (135, 92), "process_madvise": (440, 440), "process_mrelease": (448, 448),
    "statmount": (457, 457), "listmount": (458, 458), "lsm_set_self_attr": (460, 460),
}  # fmt: skip
# These succeed and do nothing: a job has no file that lasts, and the disks are the host's.
_IDLE: dict[str, tuple[int, int | None]] = {"sync": (162, 81), "syncfs": (306, 267)}
_LAST_KNOWN = 462
_CALLS = {  # the ones whose arguments decide
    "x86_64": {
        "clone": 56, "clone3": 435, "socket": 41, "socketpair": 53, "ioctl": 16, "prlimit64": 302,
    },
    "aarch64": {
        "clone": 220, "clone3": 435, "socket": 198, "socketpair": 199, "ioctl": 29,
        "prlimit64": 261,
    },
}  # fmt: skip
_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_FAMILIES = (1, 2, 10)  # AF_UNIX, AF_INET, AF_INET6: nothing but this namespace behind them
_PROTOCOLS = (0, 6, 17)  # the usual one, TCP, UDP
_TERMINAL_INJECTION = (0x5412, 0x541C)  # TIOCSTI, TIOCLINUX
_NAMESPACES = 0x7E020080
_FIRST_PROCESS = 1


def denied(machine: str) -> list[int]:
    """The numbers of the calls that are refused whatever their arguments."""
    return _numbers(DENIED, machine)


def _numbers(calls: dict[str, tuple[int, int | None]], machine: str) -> list[int]:
    column = 0 if machine == "x86_64" else 1
    return sorted(number for pair in calls.values() if (number := pair[column]) is not None)


def build(machine: str) -> list[Instruction]:
    """The filter program for `machine`."""
    calls = _CALLS[machine]
    program: list[Instruction] = [
        (LOAD, 0, 0, ARCH),
        (EQUAL, 1, 0, _AUDIT_ARCH[machine]),
        (RETURN, 0, 0, KILL),
        (LOAD, 0, 0, NUMBER),
        # also catches the x32 calls, which start at 1 << 30
        (ATLEAST, 0, 1, _LAST_KNOWN + 1),
        fail(errno.ENOSYS),
        # glibc falls back to clone, whose flags a filter can read
        (EQUAL, 0, 1, calls["clone3"]),
        fail(errno.ENOSYS),
    ]
    for number in denied(machine):
        program += [(EQUAL, 0, 1, number), fail(errno.EPERM)]
    for number in _numbers(_IDLE, machine):
        program += [(EQUAL, 0, 1, number), fail(0)]
    program += when(calls["clone"], [
        argument(0), (ANYBIT, 0, 1, _NAMESPACES & ~0x80), fail(errno.EPERM),
    ])  # fmt: skip
    for call in ("socket", "socketpair"):
        program += when(calls[call], [
            argument(0), *_unless(_FAMILIES, errno.EAFNOSUPPORT),
            argument(2), *_unless(_PROTOCOLS, errno.EPROTONOSUPPORT),
        ])  # fmt: skip
    body: list[Instruction] = [argument(1)]
    for request in _TERMINAL_INJECTION:
        body += [(EQUAL, 0, 1, request), fail(errno.EPERM)]
    program += when(calls["ioctl"], body)
    # The room's first process is of the same user, who could starve it of what it needs.
    program += when(calls["prlimit64"], [
        argument(0), (EQUAL, 0, 1, _FIRST_PROCESS), fail(errno.EPERM),
    ])  # fmt: skip
    return [*program, (RETURN, 0, 0, ALLOW)]


def _unless(values: tuple[int, ...], number: int) -> list[Instruction]:
    """Instructions that fail with `number` unless what is loaded is one of the values."""
    left = range(len(values), 0, -1)
    tests = [(EQUAL, steps, 0, value) for value, steps in zip(values, left)]  # noqa: B905 - 3.9
    return [*tests, fail(number)]


def prepare(machine: str) -> ctypes.Structure:
    """The filter as the kernel wants it; made once, installed per job."""
    return assemble(build(machine))


def install(program: ctypes.Structure) -> None:
    """Put the filter on this process and all its children, for good."""
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    kernel.prctl(kernel.PR_SET_SECCOMP, 2, ctypes.byref(program))

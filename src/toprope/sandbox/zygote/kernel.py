"""The system calls that Python does not offer, through ctypes; Linux only.

Each raises OSError with the call's name. The GIL is kept during a call (PyDLL), because
a clone that lets go of it would not come back in the child.
"""

from __future__ import annotations

import ctypes
import os
import platform

CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
ROOM = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWCGROUP

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18
MNT_DETACH = 2
ATTR_RDONLY, ATTR_NOSUID, ATTR_NODEV = 1, 2, 4

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_CAPBSET_DROP = 1, 4, 24
PR_SET_SECUREBITS, PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT = 28, 38, 47
PR_SET_SECCOMP, PR_SET_CHILD_SUBREAPER = 22, 36
_AMBIENT_CLEAR_ALL = 4
# noroot, no_setuid_fixup, keep_caps off, no_cap_ambient_raise; each locked.
_SECUREBITS = 0b11101111

_SYS = {
    "x86_64": {"clone": 56, "pivot_root": 155, "capset": 126, "mount_setattr": 442},
    "aarch64": {"clone": 220, "pivot_root": 41, "capset": 91, "mount_setattr": 442},
}
MACHINE = platform.machine()
SUPPORTED = MACHINE in _SYS

_libc = ctypes.PyDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def _check(value: int, what: str) -> int:
    if value < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)
    return value


def _syscall(name: str, *arguments: object) -> int:
    return call(_SYS[MACHINE][name], *arguments, what=name)


def call(number: int, *arguments: object, what: str = "") -> int:
    """Any call by its number."""
    wide = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    return _check(_libc.syscall(ctypes.c_long(number), *wide), what or f"call {number}")


def unshare(flags: int) -> None:
    """Leave the namespaces named by `flags` for fresh ones."""
    _check(_libc.unshare(ctypes.c_int(flags)), "unshare")


def clone(flags: int) -> int:
    """Fork into fresh namespaces; returns 0 in the child, as `os.fork` does."""
    python = ctypes.pythonapi
    python.PyOS_BeforeFork()
    pid = _libc.syscall(
        ctypes.c_long(_SYS[MACHINE]["clone"]), ctypes.c_long(flags | 17), 0, 0, 0, 0
    )
    if pid == 0:
        python.PyOS_AfterFork_Child()
        return 0
    python.PyOS_AfterFork_Parent()
    return _check(pid, "clone")


def mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    """Mount `source` on `target`."""
    done = _libc.mount(
        source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), options.encode()
    )
    _check(done, f"mount {kind or 'bind'} {target}")


def umount(target: str) -> None:
    """Detach the mount at `target` at once."""
    _check(_libc.umount2(target.encode(), MNT_DETACH), f"umount {target}")


def pivot_root(new: str, old: str) -> None:
    """Make `new` the root and put the former root at `old`."""
    _syscall("pivot_root", new.encode(), old.encode())


class _MountAttr(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "userns")]


def mount_attributes(path: str, attributes: int) -> None:
    """Set mount attributes on `path` and everything mounted below it (kernel 5.12)."""
    wanted = _MountAttr(attributes, 0, 0, 0)
    _syscall("mount_setattr", -100, path.encode(), 0x8000, ctypes.byref(wanted), 32)


def prctl(option: int, value: object = 0, extra: object = 0) -> None:
    """Change something about this process."""
    wide = [ctypes.c_ulong(a) if isinstance(a, int) else a for a in (value, extra)]
    done = _libc.prctl(ctypes.c_int(option), *wide, ctypes.c_ulong(0), ctypes.c_ulong(0))
    _check(done, f"prctl {option}")


def sethostname(name: bytes) -> None:
    """Name the machine in this UTS namespace."""
    _check(_libc.sethostname(name, ctypes.c_size_t(len(name))), "sethostname")


def drop_bounding_set() -> None:
    """Give up the right to ever gain a capability again; needs CAP_SETPCAP still."""
    prctl(PR_CAP_AMBIENT, _AMBIENT_CLEAR_ALL)
    prctl(PR_SET_SECUREBITS, _SECUREBITS)
    for capability in range(64):
        try:
            prctl(PR_CAPBSET_DROP, capability)
        except OSError:  # past the last capability this kernel knows
            return


def drop_capabilities() -> None:
    """Clear every capability this process holds."""
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    empty = (ctypes.c_uint32 * 6)()
    _syscall("capset", ctypes.byref(header), ctypes.byref(empty))

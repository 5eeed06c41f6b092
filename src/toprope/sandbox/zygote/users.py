"""Who a job is: never the host's root, and without any right over the worker.

A host root maps its own id to 0 for the worker and an id that owns nothing to 1000 for
jobs. An ordinary user maps only itself; there a job differs from the worker by having
no capability and living in a namespace where the worker does not exist.
"""

from __future__ import annotations

import os

from . import kernel

JOB = 1000  # the job's user and group inside
_FIRST_OUTSIDE = 200_000
_RANGE = 100_000
_NOBODY = 65_534


class NoSafeUser(Exception):
    """Every user id that could be mapped is the host's root."""


def enter(slot: int) -> None:
    """Enter a fresh user namespace with the right maps, all capabilities held in it."""
    uid, gid = os.geteuid(), os.getegid()
    if uid == 0:
        _enter_as_root(slot)
    else:
        kernel.unshare(kernel.CLONE_NEWUSER)
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"{JOB} {uid} 1")
        _write("/proc/self/gid_map", f"{JOB} {gid} 1")


def become_job() -> None:
    """Turn a job's first process into the job's user; does nothing where it is already."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(JOB, JOB, JOB)
        os.setresuid(JOB, JOB, JOB)


def _enter_as_root(slot: int) -> None:
    """Have a child that stays outside write the maps, for which it needs no right inside."""
    ready, go = os.pipe()
    answer, tell = os.pipe()
    writer = os.fork()
    if writer == 0:
        os.close(go)  # so that it ends too if the namespace is refused
        mapped = bool(os.read(ready, 1)) and _write_maps(os.getppid(), slot)
        os.write(tell, b"1" if mapped else b"0")
        os._exit(0)
    kernel.unshare(kernel.CLONE_NEWUSER)
    os.write(go, b"1")
    mapped = os.read(answer, 1) == b"1"
    os.waitpid(writer, 0)
    for fd in (ready, go, answer, tell):
        os.close(fd)
    if not mapped:
        raise NoSafeUser
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)


def _write_maps(pid: int, slot: int) -> bool:
    for outside in (_FIRST_OUTSIDE + slot, _NOBODY):
        try:
            _write(f"/proc/{pid}/uid_map", f"0 0 1\n{JOB} {outside} 1")
            _write(f"/proc/{pid}/gid_map", f"0 0 1\n{JOB} {outside} 1")
            return True
        except OSError:
            continue
    return False


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)


def become_nobody() -> bool:
    """Turn a host's root into a user that owns nothing, for good; True if nobody else is it.

    Without a namespace its processes are counted with those of the same number elsewhere, so
    the number is drawn anew for each worker. An ordinary user stays who it is (False).
    """
    if os.geteuid() != 0:
        return False
    drawn = _FIRST_OUTSIDE + int.from_bytes(os.urandom(4), "big") % _RANGE
    for user in (drawn, _NOBODY):
        try:
            os.setgroups([])
            os.setresgid(user, user, user)
            os.setresuid(user, user, user)
        except OSError:
            if os.geteuid() == 0:
                continue
            raise
        kernel.drop_capabilities()
        return user == drawn
    raise NoSafeUser

"""What a job may do to its own files and processes only: asked of its first process.

A job has its user's rights over all that user's files (their modes and times), be it an
ordinary user's home or what its worker keeps, and, on older kernels, over its processes
(signals). Such calls stop in the kernel until the room's first process, which is outside the
filter, has looked at what they name. For a file it does the call itself, on a descriptor
whose place it has checked; a signal, whose target no other thread can exchange, it lets pass.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import struct
import time
from collections.abc import Callable

from . import kernel
from .bpf import ALLOW, EQUAL, LOAD, NUMBER, RETURN, Instruction, assemble
from .offspring import Offspring

_FILES = {
    "x86_64": {"chmod": 90, "fchmod": 91, "fchmodat": 268, "fchmodat2": 452, "utimensat": 280},
    "aarch64": {"fchmod": 52, "fchmodat": 53, "fchmodat2": 452, "utimensat": 88},
}
_OLD_TIMES = {"x86_64": (132, 235, 261), "aarch64": ()}  # utime, utimes, futimesat: refused
_SIGNALS = {
    "x86_64": {"kill": 62, "tkill": 200, "tgkill": 234, "rt_sigqueueinfo": 129,
               "rt_tgsigqueueinfo": 297, "pidfd_send_signal": 424},
    "aarch64": {"kill": 129, "tkill": 130, "tgkill": 131, "rt_sigqueueinfo": 138,
                "rt_tgsigqueueinfo": 240, "pidfd_send_signal": 424},
}  # fmt: skip
_ASK = 0x7FC00000
_SECCOMP = {"x86_64": 317, "aarch64": 277}
_FILTER_MODE, _NEW_LISTENER = 1, 1 << 3
_RECEIVE, _ANSWER = 0xC0502100, 0xC0182101
_PETITION = struct.Struct("=QIIiIQ6Q")  # id, pid, flags; number, architecture, address, arguments
_VERDICT = struct.Struct("=QqiI")  # id, value, error, flags
_GO_ON = 1
_HERE, _NO_FOLLOW, _EMPTY_PATH = -100, 0x100, 0x1000
_NOW, _OMIT = (1 << 30) - 1, (1 << 30) - 2
_MODES = 0o1777  # never another's rights for who runs it
_LONGEST = 4096


def numbers(machine: str, signals: bool) -> dict[int, str]:
    """The calls to be asked about, by number; `signals` where Landlock does not cover them."""
    asked = {number: name for name, number in _FILES[machine].items()}
    asked.update(dict.fromkeys(_OLD_TIMES[machine], "refused"))
    if signals:
        asked.update({number: name for name, number in _SIGNALS[machine].items()})
    return asked


def prepare(asked: dict[int, str]) -> ctypes.Structure:
    """The filter that asks about these calls."""
    program: list[Instruction] = [(LOAD, 0, 0, NUMBER)]
    for number in sorted(asked):
        program += [(EQUAL, 0, 1, number), (RETURN, 0, 0, _ASK)]
    return assemble([*program, (RETURN, 0, 0, ALLOW)])


def install(program: ctypes.Structure) -> int:
    """Put the filter on this process and its children; returns where its petitions arrive."""
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    return kernel.call(_SECCOMP[kernel.MACHINE], _FILTER_MODE, _NEW_LISTENER, ctypes.byref(program))


class Clerk:
    """Answers the petitions of a room whose files lie below `box`; in its first process."""

    def __init__(self, listener: int, asked: dict[int, str], box: str, proc: int) -> None:
        self.listener = listener
        self.asked = asked
        self.box = box
        self.family = Offspring(proc)

    def answer(self) -> None:
        """Take one petition and answer it; call when the listener is readable."""
        taken = bytearray(_PETITION.size)
        try:
            fcntl.ioctl(self.listener, _RECEIVE, taken, True)
        except FileNotFoundError:  # who asked was killed meanwhile
            return
        identity, pid, _, number, _, _, *arguments = _PETITION.unpack(taken)
        error, flags = errno.EPERM, 0
        try:
            if self._granted(self.asked.get(number, "refused"), pid, arguments):
                flags = _GO_ON
            error = 0
        except OSError as problem:
            error = problem.errno or errno.EPERM
        except (OverflowError, ValueError):
            error = errno.EINVAL
        try:
            said = _VERDICT.pack(identity, 0, -error, flags)
            fcntl.ioctl(self.listener, _ANSWER, bytearray(said), True)
        except FileNotFoundError:
            pass

    def _granted(self, call: str, pid: int, given: list[int]) -> bool:
        """Whether the call may go on in the kernel; False: it was done here. Else OSError."""
        if call in _SIGNALS[kernel.MACHINE]:
            self._own_process(call, pid, _signed(given[0]))
            return True
        if call == "refused":
            raise PermissionError(errno.EPERM, call)
        if call == "chmod":
            self._mode(pid, _HERE, given[0], given[1], 0)
        elif call == "fchmod":
            self._with(pid, _signed(given[0]), 0, 0, _changer(given[1]))
        elif call == "utimensat":
            self._with(pid, _signed(given[0]), given[1], given[3], self._setter(pid, given[2]))
        else:
            flags = given[3] if call == "fchmodat2" else 0
            self._mode(pid, _signed(given[0]), given[1], given[2], flags)
        return False

    def _own_process(self, call: str, asker: int, target: int) -> None:
        if call == "pidfd_send_signal":
            raise PermissionError(errno.EPERM, call)
        if target == 0:
            return  # its group, all of one login session that the job began
        family = self.family.census()
        if target < -1:
            own = any(_group(process.pid) == -target for process in family)
        else:
            own = any(_thread_of(process.pid, target) for process in family)
        if not own:
            raise PermissionError(errno.EPERM, call)

    def _mode(self, pid: int, folder: int, path: int, mode: int, flags: int) -> None:
        if not path:
            raise OSError(errno.EFAULT, "chmod")
        self._with(pid, folder, path, flags, _changer(mode))

    def _with(
        self, pid: int, folder: int, path: int, flags: int, do: Callable[[str], None]
    ) -> None:
        """Do something to the file that a call names, if it lies in the box."""
        if flags & ~(_NO_FOLLOW | _EMPTY_PATH):
            raise OSError(errno.EINVAL, "flags")
        name = _text(pid, path) if path else b""
        if path and not name and not flags & _EMPTY_PATH:
            raise FileNotFoundError(errno.ENOENT, "")
        base = f"/proc/{pid}/cwd" if folder == _HERE else f"/proc/{pid}/fd/{folder}"
        if name.startswith(b"/"):
            base = "/"
        try:
            place = os.open(base, os.O_PATH | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise OSError(errno.EBADF, "") from error
        if name:
            follow = os.O_NOFOLLOW if flags & _NO_FOLLOW else 0
            try:
                file = os.open(name, os.O_PATH | os.O_CLOEXEC | follow, dir_fd=place)
            finally:
                os.close(place)
            place = file
        try:
            reached = f"/proc/self/fd/{place}"
            where = os.readlink(reached)
            if where != self.box and not where.startswith(self.box + "/"):
                raise PermissionError(errno.EPERM, "")
            do(reached)
        finally:
            os.close(place)

    def _setter(self, pid: int, times: int) -> Callable[[str], None]:
        if not times:
            return os.utime
        values = struct.unpack("=4q", _memory(pid, times, 32))

        def set_times(path: str) -> None:
            before = os.stat(path)
            wanted = []
            for at, old in ((0, before.st_atime_ns), (2, before.st_mtime_ns)):
                seconds, part = values[at : at + 2]
                if part == _NOW:
                    wanted.append(time.time_ns())
                else:
                    wanted.append(old if part == _OMIT else seconds * 10**9 + part)
            os.utime(path, ns=(wanted[0], wanted[1]))

        return set_times


def _changer(mode: int) -> Callable[[str], None]:
    return lambda path: os.chmod(path, mode & _MODES)


def _signed(value: int) -> int:
    return ctypes.c_int32(value & 0xFFFFFFFF).value


def _text(pid: int, address: int) -> bytes:
    text, end, _ = _memory(pid, address, _LONGEST).partition(b"\0")
    if not end:
        raise OSError(errno.ENAMETOOLONG, "")
    return text


def _memory(pid: int, address: int, most: int) -> bytes:
    try:
        file = os.open(f"/proc/{pid}/mem", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise OSError(errno.ESRCH, "") from error
    try:
        return os.pread(file, most, address)
    except OSError as error:
        raise OSError(errno.EFAULT, "") from error
    finally:
        os.close(file)


def _group(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except OSError:
        return None


def _thread_of(pid: int, target: int) -> bool:
    return pid == target or os.path.exists(f"/proc/{pid}/task/{target}")

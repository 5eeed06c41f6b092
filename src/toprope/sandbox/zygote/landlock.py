"""Landlock: the kernel's own rules on what a process may open, without any right needed.

Three raw calls and the numbers of their masks. What the running kernel lacks is left out
and told in `Rights`, so that something else can refuse it. It knows nothing of jobs.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from collections.abc import Iterable
from typing import NamedTuple

from . import kernel

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1, 2, 4, 8
REMOVE_DIR, REMOVE_FILE = 1 << 4, 1 << 5
MAKE_CHAR, MAKE_DIR, MAKE_REG, MAKE_SOCK = 1 << 6, 1 << 7, 1 << 8, 1 << 9
MAKE_FIFO, MAKE_BLOCK, MAKE_SYM = 1 << 10, 1 << 11, 1 << 12
REFER, TRUNCATE, IOCTL_DEVICE = 1 << 13, 1 << 14, 1 << 15
READ = EXECUTE | READ_FILE | READ_DIR
WRITE = (
    READ | WRITE_FILE | REMOVE_DIR | REMOVE_FILE | MAKE_DIR | MAKE_REG | MAKE_FIFO | MAKE_SYM
    | REFER | TRUNCATE
)  # fmt: skip
_OF_A_FILE = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEVICE
_FIRST_ABI = (1 << 13) - 1
_ABI_OF = {2: REFER, 3: TRUNCATE, 5: IOCTL_DEVICE}
_TCP = 0b11  # bind, connect
_ABSTRACT_SOCKETS, _SIGNALS = 1, 2
_CREATE, _ADD, _RESTRICT = 444, 445, 446  # the same on every machine
_QUIET = 1  # ABI 7: no line in the host's audit log for every refusal


class Rights(NamedTuple):
    """What the kernel can refuse; `abi` is its version of Landlock, 0 if it has none."""

    abi: int
    files: int
    network: int
    scopes: int

    @property
    def signals(self) -> bool:
        """Whether signals to processes outside are refused."""
        return bool(self.scopes & _SIGNALS)

    def without_signals(self) -> Rights:
        """The same, but for signals, which something else has to refuse."""
        return self._replace(scopes=self.scopes & ~_SIGNALS)

    @property
    def truncation(self) -> bool:
        """Whether files are kept from being truncated by name."""
        return bool(self.files & TRUNCATE)


class _Attributes(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("files", "network", "scopes")]


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = [("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32)]


def supported(most: int = 0) -> Rights:
    """What this kernel offers, as if its ABI were at most `most` (0: as it is)."""
    try:
        abi = kernel.call(_CREATE, None, 0, 1)
    except OSError:
        return Rights(0, 0, 0, 0)
    abi = min(abi, most) if most else abi
    files = _FIRST_ABI
    for since, right in _ABI_OF.items():
        files |= right if abi >= since else 0
    scopes = _ABSTRACT_SOCKETS | _SIGNALS if abi >= 6 else 0
    rights = Rights(abi, files, _TCP if abi >= 4 else 0, scopes)
    try:
        os.close(_create(rights))
    except OSError as error:
        if error.errno != errno.EINVAL:
            return Rights(0, 0, 0, 0)
        # A kernel of a distribution may have taken over an ABI without its scopes.
        return rights._replace(scopes=0)
    return rights


def ruleset(rights: Rights, grants: Iterable[tuple[str, int]]) -> int:
    """A descriptor of rules that allow only `grants`, pairs of a path and what it allows.

    What is a link, or cannot be reached by this user, is left out: it stays refused.
    """
    rules = _create(rights)
    for path, allowed in grants:
        try:
            place = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
        except (FileNotFoundError, PermissionError):
            continue
        try:
            mode = os.fstat(place).st_mode
            if stat.S_ISLNK(mode):
                continue
            allowed &= rights.files if stat.S_ISDIR(mode) else rights.files & _OF_A_FILE
            rule = _Beneath(allowed, place)
            kernel.call(_ADD, rules, 1, ctypes.byref(rule), 0)
        finally:
            os.close(place)
    return rules


def restrict(rules: int, rights: Rights) -> None:
    """Put the rules on this process and all its children, for good."""
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    kernel.call(_RESTRICT, rules, _QUIET if rights.abi >= 7 else 0)


def _create(rights: Rights) -> int:
    wanted = _Attributes(rights.files, rights.network, rights.scopes)
    return kernel.call(_CREATE, ctypes.byref(wanted), ctypes.sizeof(wanted), 0)

"""What a room's first process does for those behind the rules: it answers and takes leave.

Their petitions stand still until they are answered, so it waits for nothing without hearing
them. It must not know what they run.
"""

from __future__ import annotations

import os
import select
import signal

from .petitions import Clerk

_REAP_MS = 100


class Attendant:
    """Attends to every process that was introduced with its clerk. One for each first process."""

    def __init__(self) -> None:
        self._clerks: dict[int, Clerk] = {}
        self._poller = select.poll()
        self._ended, wake = os.pipe()
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._poller.register(self._ended, select.POLLIN)

    def introduce(self, clerk: Clerk) -> None:
        """From now on, answer what this clerk is asked."""
        self._clerks[clerk.listener] = clerk
        self._poller.register(clerk.listener, select.POLLIN)

    def wait(self, pid: int) -> int:
        """The wait status of a child, once it has ended."""
        while True:
            status = _reaped(pid)
            if status is not None:
                return status
            self._attend()

    def rest(self, other: int) -> None:
        """Return when the descriptor `other` can be read."""
        self._poller.register(other, select.POLLIN)
        try:
            while not self._attend(other):
                _reaped()
        finally:
            self._poller.unregister(other)

    def _attend(self, other: int = -1) -> bool:
        """Do what there is to do, or wait for it a little; whether `other` can be read."""
        heard = False
        for fd, event in self._poller.poll(_REAP_MS):
            if fd == other:
                heard = True
            elif fd == self._ended:
                os.read(fd, 512)
            elif event & select.POLLIN:
                self._clerks[fd].answer()
            else:  # nobody is left who could ask
                self._poller.unregister(fd)
                del self._clerks[fd]
                os.close(fd)
        return heard


def _reaped(pid: int = 0) -> int | None:
    """Take leave of all that have ended; the wait status of `pid` if it is among them."""
    found = None
    try:
        while True:
            ended, status = os.waitpid(-1, os.WNOHANG)
            if not ended:
                return found
            if ended == pid:
                found = status
    except ChildProcessError:
        return found

"""Whether an endpoint counts as gone: then nobody waits for it, and now and then one asks.

It must not know what is asked.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

MOST_LOST = 3
REST_S = 60.0


class Outage:
    """Counts questions lost in a row; a refusal ends the asking at once."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self.why = ""
        self._lost = 0
        self._until = 0.0
        self._now = now
        self._lock = threading.Lock()

    @property
    def lasts(self) -> bool:
        """Whether the endpoint is to be left alone now."""
        with self._lock:
            return bool(self.why) and self._now() < self._until

    def lost(self, why: str, *, refused: bool = False) -> None:
        """A question got no answer."""
        with self._lock:
            self._lost += 1
            if refused or self._lost >= MOST_LOST:
                self.why, self._until = why, self._now() + REST_S

    def answered(self) -> None:
        """A question got one: whatever was, is over."""
        with self._lock:
            self.why, self._lost = "", 0

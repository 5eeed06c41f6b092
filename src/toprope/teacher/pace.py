"""How fast an endpoint may be asked: so many requests and tokens a minute.

Two buckets that fill evenly and never hold more than a minute's worth, and a pause for all
when the endpoint asks for one. It must not know what is asked.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

_MINUTE = 60.0


class Pace:
    """Shared by all who ask; 0 a minute is no limit."""

    def __init__(
        self,
        requests_per_minute: float = 0,
        tokens_per_minute: float = 0,
        *,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._sizes = (requests_per_minute, tokens_per_minute)
        self._levels = [requests_per_minute, tokens_per_minute]
        self._now, self._sleep = now, sleep
        self._filled_at = now()
        self._not_before = self._filled_at
        self._lock = threading.Lock()

    def wait(self, tokens: int) -> None:
        """Return when a request of at most so many tokens may be sent, and count it.

        One that is larger than a minute's worth waits for a full bucket and leaves a debt.
        """
        while (left := self._take(tokens)) > 0:
            self._sleep(left)

    def give_back(self, tokens: int) -> None:
        """Put back what a request was counted for and did not use; less than 0 takes more."""
        with self._lock:
            self._levels[1] = min(self._levels[1] + tokens, self._sizes[1])

    def pause(self, seconds: float) -> None:
        """Let nobody ask for so long: the endpoint said so."""
        with self._lock:
            self._not_before = max(self._not_before, self._now() + seconds)

    def _take(self, tokens: int) -> float:
        """Take one request from the buckets and return 0, or the seconds to wait for it."""
        with self._lock:
            now = self._now()
            passed, self._filled_at = now - self._filled_at, now
            for at, size in enumerate(self._sizes):
                self._levels[at] = min(self._levels[at] + passed * size / _MINUTE, size)
            wants = (1.0, float(tokens))
            waits = [self._not_before - now]
            for want, level, size in zip(wants, self._levels, self._sizes, strict=True):
                if size:
                    waits.append((min(want, size) - level) * _MINUTE / size)
            if max(waits) > 1e-6:
                return max(waits)
            self._levels = [level - want for level, want in zip(self._levels, wants, strict=True)]
            return 0.0

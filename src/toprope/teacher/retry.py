"""Asking again after a failure that may pass: how often, and after how long.

It must not know what is asked.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")
LONGEST_WAIT_S = 60.0


class Lost(Exception):
    """A try that gave nothing and may succeed when repeated.

    `wait_s` is what the other side asked for. `billed` tells whether it may have worked, and
    been paid. One that `taught` something is repeated at once and is no failure.
    """

    def __init__(
        self,
        why: str,
        *,
        wait_s: float | None = None,
        billed: bool = False,
        taught: bool = False,
    ) -> None:
        super().__init__(why)
        self.wait_s, self.billed, self.taught = wait_s, billed, taught


@dataclass(frozen=True, slots=True)
class Patience:
    """How many tries, and the first wait between two; it doubles with each."""

    tries: int = 5
    back_off_s: float = 1.0
    sleep: Callable[[float], None] = time.sleep

    def often(self, ask: Callable[[], T]) -> T:
        """Return what `ask` returns; raises the `Lost` of the last try."""
        failed = 0
        while True:
            try:
                return ask()
            except Lost as lost:
                if lost.taught:
                    continue
                failed += 1
                if failed >= self.tries:
                    raise
                # Spread, so that concurrent callers do not come back all at once.
                wait = self.back_off_s * 2 ** (failed - 1) * random.uniform(0.5, 1.0)
                asked = wait if lost.wait_s is None else lost.wait_s
                self.sleep(min(asked, LONGEST_WAIT_S))

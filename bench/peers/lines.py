"""A side of a comparison, from inside: commands in, answers out, one JSON line each.

Standard library only: every side imports it, in whatever environment it runs. Answers have a
pipe of their own, whose number is in the environment: libraries print when they like.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from threading import Thread
from typing import Any

ANSWERS = "PEER_ANSWERS"


class Lines:
    """The two ends of the pipe to whoever compares."""

    def __init__(self) -> None:
        self._out = os.fdopen(int(os.environ[ANSWERS]), "w", encoding="utf-8")
        Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()

    def hear(self) -> dict[str, Any]:
        """Return the next command; end this process when there is none any more."""
        line = sys.stdin.readline()
        if not line:
            os._exit(0)  # threads of an engine may be busy; there is nothing to save
        return dict(json.loads(line))

    def tell(self, answer: Mapping[str, Any]) -> None:
        self._out.write(json.dumps(answer) + "\n")
        self._out.flush()

    def serve(self, do: Callable[[dict[str, Any]], Mapping[str, Any]]) -> None:
        """Answer commands one after the other for as long as any come."""
        while True:
            self.tell(do(self.hear()))


def _end_with(parent: int) -> None:
    """End this process when its parent does, even in the middle of a step."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)


def versions(*packages: str) -> dict[str, str]:
    """Return the versions of those packages that are installed here."""
    found = {}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue  # toprope may be on the path without being installed
    return found


def digest(rows: Iterable[Sequence[int]]) -> str:
    """Return a short name of token ids, the same on every side that read the same."""
    return hashlib.sha256(json.dumps([list(row) for row in rows]).encode()).hexdigest()[:12]


def share_even(ids: Sequence[int]) -> float:
    """Return the share of even ids: a reward that costs nothing and differs within a group."""
    return sum(1 for one in ids if one % 2 == 0) / len(ids)

"""Notes which functions of the workspace each test calls; knows nothing of pytest."""

from __future__ import annotations

import os
import sys
import threading
from typing import Any


class Watch:
    """Keeps, per test, the functions it called: by file and first line."""

    def __init__(self, root: str) -> None:
        self.root = os.path.join(root, "")
        self.calls: dict[str, list[list[Any]]] = {}
        self.seen: set[tuple[str, int]] = set()
        self.name = ""

    def begin(self, name: str) -> None:
        """Watch from here on, for the test `name`, in all threads."""
        self.name, self.seen = name, set()
        threading.setprofile(self._note)
        sys.setprofile(self._note)

    def end(self) -> None:
        """Stop watching and keep what was seen."""
        sys.setprofile(None)
        threading.setprofile(None)
        inside = sorted(place for place in self.seen if place[0].startswith(self.root))
        self.calls[self.name] = [[path[len(self.root) :], line] for path, line in inside]

    def _note(self, frame: Any, event: str, argument: object) -> None:
        if event == "call":
            code = frame.f_code
            self.seen.add((code.co_filename, code.co_firstlineno))

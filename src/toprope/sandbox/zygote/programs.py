"""Trusted program texts, compiled once and kept; those that ask for it are prepared, too."""

from __future__ import annotations

import contextlib
import gc
from types import CodeType

_MOST = 8
_WARM = "__warm__"


class Programs:
    """Compiles a text the first time it is asked for."""

    def __init__(self) -> None:
        self._kept: dict[str, CodeType] = {}

    def compiled(self, program: str) -> str | CodeType:
        """The code of a program; of one that is no Python the text, for its process to say so."""
        if program not in self._kept:
            try:
                code = compile(program, "program", "exec")
            except (SyntaxError, ValueError):
                return program
            if len(self._kept) >= _MOST:
                self._kept.clear()
            self._kept[program] = code
            if _WARM in program:
                prepare(code)
        return self._kept[program]


def prepare(code: CodeType) -> None:
    """Execute a trusted program here as `__warm__`: what it imports, its jobs find imported.

    What goes wrong then is left to its jobs, who will meet it again.
    """
    with contextlib.suppress(Exception):
        exec(code, {"__name__": _WARM})
    gc.collect()
    gc.freeze()

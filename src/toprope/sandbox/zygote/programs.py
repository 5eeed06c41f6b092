"""Trusted program texts, compiled once and kept."""

from __future__ import annotations

from types import CodeType

_MOST = 8


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
        return self._kept[program]

"""An endpoint's key: read from the environment only, and taken out of whatever comes back.

An endpoint may echo a key in an error, whole or in part, and even in an answer. It must not
know who asks, or what.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from toprope.teacher.protocol import TeacherError

KEY_VARIABLE = "TOPROPE_TEACHER_KEY"
HIDDEN = "[key]"
_PIECE = 8  # so many characters of a key in a row are a part of it and no accident
_NAME = re.compile(r"[A-Z_][A-Z0-9_]*")


class Secret:
    """A key, or none; it shows itself nowhere but in `headers`."""

    def __init__(self, key: str = "") -> None:
        self._key = key

    @classmethod
    def of(cls, variable: str = KEY_VARIABLE) -> Secret:
        """The key in an environment variable; none where it is unset or empty.

        Raises:
            TeacherError: `variable` is no variable's name, or it holds what no header can.
        """
        if not is_variable(variable):
            raise TeacherError(
                "the key's variable must be a name in capitals such as TOPROPE_TEACHER_KEY; "
                "keys themselves belong into the environment"
            )
        key = os.environ.get(variable, "").strip()
        if not (key.isascii() and key.isprintable()):
            raise TeacherError(f"${variable} holds characters that no key has; set it again")
        return cls(key)

    def __bool__(self) -> bool:
        return bool(self._key)

    def headers(self) -> dict[str, str]:
        """The header that carries the key."""
        return {"authorization": f"Bearer {self._key}"} if self._key else {}

    def hide(self, text: str) -> str:
        """The text with the key, and every part of 8 characters or more, taken out."""
        spans = list(self._spans(text))
        if not spans:
            return text
        kept, at = [], 0
        for start, end in spans:
            kept += [text[at:start], HIDDEN]
            at = end
        return "".join([*kept, text[at:]])

    def _spans(self, text: str) -> Iterator[tuple[int, int]]:
        """The stretches of `text` that the key's pieces cover, in order, none touching."""
        if not self._key:
            return
        size = min(_PIECE, len(self._key))
        pieces = {self._key[at : at + size] for at in range(len(self._key) - size + 1)}
        found: list[int] = []
        for piece in pieces:
            at = text.find(piece)
            while at >= 0:
                found.append(at)
                at = text.find(piece, at + 1)
        start = end = -1
        for at in sorted(found):
            if at > end:
                if start >= 0:
                    yield start, end
                start = at
            end = at + size
        if start >= 0:
            yield start, end


def is_variable(name: str) -> bool:
    """Whether this can name an environment variable: a key pasted in its place cannot."""
    return bool(_NAME.fullmatch(name))

"""Text of unknown origin, made fit to be looked at.

What an attempt, a task or a path says may hold sequences that a terminal obeys: to paint over
what stands above, to set a title, to answer as if typed. It knows no terminal.
"""

from __future__ import annotations

import re
import unicodedata

_UNUSUAL = re.compile(r"[^\n\t -~]")
# Control characters, invisible ones that reorder what is read, halves of pairs, line separators.
_OBEYED = ("Cc", "Cf", "Cs", "Zl", "Zp")


def plain(text: str) -> str:
    """The text with every character that could be obeyed written out, as `\\x1b`.

    Newlines and tabs stay, and so does every character that is only drawn.
    """
    return _UNUSUAL.sub(_written_out, text.replace("\r\n", "\n"))


def _written_out(found: re.Match[str]) -> str:
    character = found[0]
    if unicodedata.category(character) not in _OBEYED:
        return character
    return character.encode("unicode_escape").decode("ascii")

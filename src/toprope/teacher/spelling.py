"""Writes a corrected line in the spelling of the line it replaces.

A teacher rewrites spacing and quotes as it goes. Where both lines have the same token the
old text is kept, so that the student is shown the correction and nothing else.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from difflib import SequenceMatcher
from itertools import pairwise
from typing import NamedTuple

_LOOKS = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}
_SIGN = re.compile(r"[-+*/%@&|^<>=!,:]+")


class Token(NamedTuple):
    """A token that means something: its meaning, its text, and the space before it."""

    meaning: str
    text: str
    space: str


def tokens(line: str) -> list[Token] | None:
    """The tokens of one line without comments, or None if it cannot be read as code."""
    code = line.strip()
    found: list[Token] = []
    end = 0
    try:
        for token in tokenize.generate_tokens(io.StringIO(code).readline):
            if token.type == tokenize.ERRORTOKEN:
                return None
            if token.type not in _LOOKS:
                start = token.start[1]
                found.append(Token(_meaning(token), token.string, code[end:start]))
                end = token.end[1]
    except (tokenize.TokenError, SyntaxError, ValueError):
        pass  # a bracket that closes on another line: what was read so far is the line
    return found


def meaning(line: str) -> str:
    """Indentation and tokens: the same for lines that differ only in looks; "" says nothing."""
    read = tokens(line)
    if read is None:
        return line
    depth = len(line) - len(line.lstrip())
    return f"{depth} {' '.join(token.meaning for token in read)}" if read else ""


def in_spelling_of(old: str, new: str) -> str:
    """`new` with every token that `old` has too written as in `old`, and its end comment lost.

    Either line is returned as `new` is when one of them cannot be read as code.
    """
    was, now = tokens(old), tokens(new)
    if not was or not now:
        return new
    margin = new[: len(new) - len(new.lstrip())]
    return margin + "".join(_merged(was, now)).lstrip()


def _merged(was: list[Token], now: list[Token]) -> Iterator[str]:
    twins = _twins(was, now)
    habits = _Habits(was)
    for at, token in enumerate(now):
        twin = twins.get(at)
        if twin is not None and twin == twins.get(at - 1, -1) + 1:
            space = was[twin].space
        else:
            space = habits.space(now[at - 1] if at else None, token)
        same = twin is not None and was[twin].meaning == token.meaning
        yield space + (was[twin].text if same and twin is not None else token.text)


def _twins(was: list[Token], now: list[Token]) -> dict[int, int]:
    """Which old token stands at the place of which new one, equal or of the same kind."""
    matcher = SequenceMatcher(
        None, [token.meaning for token in was], [token.meaning for token in now], autojunk=False
    )
    twins = {}
    for tag, i1, i2, j1, j2 in matcher.get_opcodes():
        if i2 - i1 == j2 - j1:
            for i, j in zip(range(i1, i2), range(j1, j2), strict=True):
                if tag == "equal" or _is_word(was[i].text) == _is_word(now[j].text):
                    twins[j] = i
    return twins


class _Habits:
    """Whether a line puts spaces around each of its signs; brackets have no habits."""

    def __init__(self, line: list[Token]) -> None:
        self._before: dict[str, set[str]] = {}
        self._after: dict[str, set[str]] = {}
        for left, right in pairwise(line):
            self._before.setdefault(right.text, set()).add(right.space)
            self._after.setdefault(left.text, set()).add(right.space)

    def space(self, left: Token | None, right: Token) -> str:
        """The space between two tokens, as elsewhere in the line, or else as it came."""
        known: set[str] = set()
        if _SIGN.fullmatch(right.text):
            known = self._before.get(right.text, set())
        elif left is not None and _SIGN.fullmatch(left.text):
            known = self._after.get(left.text, set())
        return next(iter(known)) if len(known) == 1 else right.space


def _is_word(text: str) -> bool:
    return text[0].isalnum() or text[0] in "_'\""


def _meaning(token: tokenize.TokenInfo) -> str:
    return repr(ast.literal_eval(token.string)) if token.type == tokenize.STRING else token.string

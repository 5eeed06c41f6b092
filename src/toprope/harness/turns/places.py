"""Finds the one place that a search text means, and says helpfully why there is none."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_SHOWN = 12


class Misplaced(Exception):
    """A file or a place in it is not there, or not one; the text helps to name it."""


def placed(text: str, old: str, path: str) -> tuple[int, int]:
    """Return where `old` begins and ends in `text`; space at the ends of lines is forgiven.

    Raises `Misplaced` if it occurs never, with the closest lines, or more than once.
    """
    for whole, wanted in ((text, old), (_bare(text), _bare(old))):
        found = occurrences(whole, wanted)
        if len(found) > 1:
            lines = ", ".join(str(whole.count("\n", 0, at) + 1) for at in found[:5])
            raise Misplaced(
                f"this text is in {path} {len(found)} times (lines {lines}); give more lines of it"
            )
        if found:
            first = whole.count("\n", 0, found[0])
            if whole is text:
                return found[0], found[0] + len(old)
            return _span(text, first, wanted.count("\n") + 1)
    raise Misplaced(f"this text is not in {path}.{_nearby(text, old)}")


def closest(path: str, paths: Iterable[str]) -> str:
    """Return the path that was probably meant, or ""."""
    known = list(paths)
    name = path.rpartition("/")[2]
    same = [other for other in known if other.rpartition("/")[2] == name]
    return next(iter([*same, *difflib.get_close_matches(path, known, 1)]), "")


def _bare(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.split("\n"))


def occurrences(text: str, wanted: str) -> list[int]:
    """Return where a text begins in another, overlapping ones too; nowhere for blanks."""
    found = []
    at = text.find(wanted) if wanted.strip() else -1
    while at >= 0:
        found.append(at)
        at = text.find(wanted, at + 1)
    return found


def _span(text: str, first: int, count: int) -> tuple[int, int]:
    """Whole lines as a span of the text."""
    lines = text.split("\n")
    begin = sum(len(line) + 1 for line in lines[:first])
    return begin, begin + len("\n".join(lines[first : first + count]))


def _nearby(text: str, old: str) -> str:
    """The lines most like the ones searched for."""
    lines, wanted = text.split("\n"), old.split("\n")
    size = len(wanted)
    best, at = 0.0, 0
    matcher = difflib.SequenceMatcher(autojunk=False)
    matcher.set_seq2("\n".join(wanted))
    for begin in range(max(1, len(lines) - size + 1)):
        matcher.set_seq1("\n".join(lines[begin : begin + size]))
        if matcher.real_quick_ratio() > best and matcher.quick_ratio() > best:
            ratio = matcher.ratio()
            if ratio > best:
                best, at = ratio, begin
    if best < 0.5:
        return ""
    shown = lines[at : at + min(size, _SHOWN)]
    numbered = "\n".join(f"{at + n + 1:5} {line}" for n, line in enumerate(shown))
    return f" The closest lines are:\n{numbered}"

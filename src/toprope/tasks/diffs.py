"""Unified diffs between two states of files: made, and applied exactly or refused.

Nothing is guessed: a hunk fits where it says, or not at all.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

from toprope.tasks.diff_changes import Change, Hunk, refuse
from toprope.tasks.diff_names import marked, quoted
from toprope.tasks.diff_parts import read_changes

_UNENDED = "\n\\ No newline at end of file\n"


def make_diff(before: Mapping[str, str], after: Mapping[str, str]) -> str:
    """Return the diff, in git's form, that turns the files `before` into `after`."""
    paths = sorted({*before, *after})
    return "".join(_file_diff(path, before.get(path), after.get(path)) for path in paths)


def apply_diff(files: Mapping[str, str], diff: str, where: str = "diff") -> dict[str, str]:
    """Return all files after `diff`; `where` opens the message of a `TaskFormatError`."""
    result = dict(files)
    for change in read_changes(diff, where):
        _apply(result, change, where)
    return result


def _file_diff(path: str, old: str | None, new: str | None) -> str:
    if old == new:
        return ""
    head = f"diff --git {quoted('a/' + path)} {quoted('b/' + path)}\n"
    head += "new file mode 100644\n" if old is None else ""
    head += "deleted file mode 100644\n" if new is None else ""
    body = list(difflib.unified_diff(_lines(old or ""), _lines(new or "")))[2:]
    if not body:
        return head
    head += f"--- {'/dev/null' if old is None else marked('a/' + path)}\n"
    head += f"+++ {'/dev/null' if new is None else marked('b/' + path)}\n"
    return head + "".join(_ended(body))


def _ended(lines: Iterable[str]) -> Iterable[str]:
    for line in lines:
        yield line if line.endswith("\n") else line + _UNENDED


def _lines(text: str) -> list[str]:
    """The lines with their newline; nothing else ends a line, as for git."""
    *whole, last = text.split("\n")
    return [f"{line}\n" for line in whole] + ([last] if last else [])


def _apply(files: dict[str, str], change: Change, where: str) -> None:
    old, new = change.old, change.new
    if old is not None and old not in files:
        refuse(where, change.at, f"{old!r} is not among the files")
    if new is not None and new != old and new in files:
        refuse(where, change.at, f"{new!r} should be new, but is there already")
    lines = _lines(files[old]) if old is not None else []
    text = "".join(_fitted(lines, change, where))
    if new is not None:
        files[new] = text
    elif text:
        refuse(where, change.at, f"{old!r} should be deleted, but has more lines than the diff")
    if old is not None and old != new:
        del files[old]


def _fitted(lines: list[str], change: Change, where: str) -> list[str]:
    result: list[str] = []
    done = 0
    for hunk in change.hunks:
        if hunk.first < done:
            refuse(where, hunk.at, "hunks overlap or are out of order")
        end = hunk.first + len(hunk.old)
        if hunk.first > len(lines) or lines[hunk.first : end] != hunk.old:
            _misfit(lines, hunk, change, where)
        result += lines[done : hunk.first] + hunk.new
        done = end
    return result + lines[done:]


def _misfit(lines: list[str], hunk: Hunk, change: Change, where: str) -> None:
    name = change.old or change.new
    for number, wanted in enumerate(hunk.old, start=hunk.first):
        found = lines[number] if number < len(lines) else None
        if found != wanted:
            there = "the file ends before" if found is None else f"the file has {found[:60]!r}"
            refuse(
                where,
                hunk.at,
                f"the hunk does not fit {name!r}: line {number + 1} should be {wanted[:60]!r}, "
                f"{there}; the diff is for other files than these",
            )
    refuse(where, hunk.at, f"the hunk does not fit {name!r}, which has {len(lines)} lines")

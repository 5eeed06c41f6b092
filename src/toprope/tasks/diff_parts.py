"""Reads a unified diff into the changes of its files; every line must have its place.

Knows the text of a diff. It must not know the files that the diff is for (see `diffs`).
"""

from __future__ import annotations

import re
from typing import NoReturn

from toprope.tasks.diff_changes import Change, Hunk, refuse
from toprope.tasks.diff_names import plain, twice_named, unquoted

_HUNK = re.compile(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
_SILENT = ("old mode ", "new mode ", "index ", "similarity index ", "dissimilarity index ")
_BINARY = ("Binary files ", "GIT binary patch")


def read_changes(diff: str, where: str) -> list[Change]:
    """Return the changes of a diff in order; a `TaskFormatError` names the line of a fault."""
    reader = _Reader(diff, where)
    changes = []
    while reader.seek():
        changes.append(reader.change())
    return changes


class _Reader:
    def __init__(self, diff: str, where: str) -> None:
        self.lines = diff.removesuffix("\n").split("\n") if diff else []
        self.where = where
        self.at = 0
        self.begun = False

    @property
    def line(self) -> str:
        return self.lines[self.at] if self.at < len(self.lines) else ""

    def fault(self, why: str) -> NoReturn:
        refuse(self.where, self.at + 1, why)

    def seek(self) -> bool:
        """Go to where a file's change begins; only words of the author may stand before."""
        while self.at < len(self.lines):
            if self.line.startswith("diff --git ") or self._names_follow():
                self.begun = True
                return True
            if self.begun and self.line:
                self.fault(f"{self.line[:40]!r} belongs to no hunk; correct the counts after `@@`")
            self.at += 1
        if not self.begun and any(self.lines):
            self.at = 0
            self.fault("this is not a unified diff; it needs `--- a/path` and `+++ b/path`")
        return False

    def change(self) -> Change:
        found = Change(None, None, self.at + 1)
        if self.line.startswith("diff --git "):
            self._header(found)
        if self._names_follow():
            found.old, found.new = plain(self.line[4:]), plain(self.lines[self.at + 1][4:])
            self.at += 2
        if found.old is None and found.new is None:
            refuse(self.where, found.at, "it names no file")
        while self.line.startswith("@@"):
            found.hunks.append(self._hunk())
        return found

    def _names_follow(self) -> bool:
        after = "".join(self.lines[self.at + 1 : self.at + 2])
        return self.line.startswith("--- ") and after.startswith("+++ ")

    def _header(self, found: Change) -> None:
        found.old = found.new = twice_named(self.line.removeprefix("diff --git "))
        self.at += 1
        while self.line and not self.line.startswith(("diff --git ", "--- ", "@@")):
            self._header_line(found, self.line)
            self.at += 1

    def _header_line(self, found: Change, line: str) -> None:
        if line.startswith("new file mode "):
            found.old = None
        elif line.startswith("deleted file mode "):
            found.new = None
        elif line.startswith("rename from "):
            found.old = unquoted(line.removeprefix("rename from "))
        elif line.startswith("rename to "):
            found.new = unquoted(line.removeprefix("rename to "))
        elif line.startswith(_BINARY):
            self.fault("a change of a binary file has no text; leave it out of the diff")
        elif not line.startswith(_SILENT):
            self.fault(f"{line[:40]!r} is no line of a git header that is known here")

    def _hunk(self) -> Hunk:
        found = _HUNK.match(self.line)
        if not found:
            self.fault(f"{self.line[:40]!r} is no hunk; it should be `@@ -1,2 +1,2 @@`")
        olds, news = int(found[2] or 1), int(found[4] or 1)
        hunk = Hunk(int(found[1]) - (olds > 0), self.at + 1)
        self.at += 1
        while len(hunk.old) < olds or len(hunk.new) < news:
            if self.at >= len(self.lines):
                self.fault("the diff ends in the middle of a hunk")
            self._line_of(hunk)
        if (len(hunk.old), len(hunk.new)) != (olds, news):
            refuse(self.where, hunk.at, "the hunk has other counts of lines than it says")
        return hunk

    def _line_of(self, hunk: Hunk) -> None:
        sign, text = self.line[:1] or " ", self.line[1:] + "\n"
        if sign not in " +-":
            self.fault(f"a line of a hunk begins with a space, + or -, not {sign!r}")
        if sign in " -":
            hunk.old.append(text)
        if sign in " +":
            hunk.new.append(text)
        self.at += 1
        self._unended(hunk, sign)

    def _unended(self, hunk: Hunk, sign: str) -> None:
        """Take the newline off the line just read, if the diff says that it has none."""
        if not self.line.startswith("\\"):
            return
        for side, signs in ((hunk.old, " -"), (hunk.new, " +")):
            if sign in signs:
                side[-1] = side[-1].removesuffix("\n")
        self.at += 1

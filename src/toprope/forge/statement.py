"""The problem statement of a bug: one short call that goes wrong, what it gave, what it should.

It turns canonical outcomes back into what a Python programmer would write. It must not see
a hidden call.
"""

from __future__ import annotations

from dataclasses import dataclass

LONGEST = 160


def statement(name: str, args: str, got: str, expected: str) -> str | None:
    """Return one line such as `f(1, 2) returns 3, expected 4`, or None if it gets too long."""
    call = f"{name}({args[1:-1].removesuffix(',')})"
    if " with arguments " in got or " with arguments " in expected:
        return None
    if got.startswith("iter[") and expected.startswith("iter["):
        call, got, expected = f"list({call})", got[4:], expected[4:]
    was = got if got.startswith("raises ") else f"returns {readable(got)}"
    line = f"{call} {was}, expected {readable(expected.removeprefix('raises '))}"
    return line if len(line) <= LONGEST and "\n" not in line else None


def readable(outcome: str) -> str:
    """Write a canonical outcome as Python does: `{1}` for `set{1}`, `(1,)` for `(1)`."""
    written: list[str] = []
    opened: list[_Bracket] = []
    place = 0
    while place < len(outcome):
        mark = outcome[place]
        step = mark
        if mark in "'\"":
            step = outcome[place : _string_end(outcome, place)]
        elif mark in "([{":
            before = written[-1] if written else ""
            opened.append(_Bracket(len(written), mark == "(" and not before.isalnum()))
            if mark == "{" and "".join(written[-3:]) == "set":
                step = _open_set(written, outcome[place + 1])
        elif mark == "," and opened:
            opened[-1].commas += 1
        elif mark in ")]}" and opened:
            bracket = opened.pop()
            single = bracket.is_tuple and not bracket.commas
            step = "," + mark if single and len(written) > bracket.start + 1 else mark
            step = "" if written and written[-1] == "set()" else step
        written.append(step)
        place += len(mark) if mark not in "'\"" else len(step)
    return "".join(written)


@dataclass
class _Bracket:
    """An open bracket: where it was written, and whether it is a tuple's."""

    start: int
    is_tuple: bool
    commas: int = 0


def _open_set(written: list[str], after: str) -> str:
    """A set's brace loses its prefix, and an empty set becomes a call; frozen ones stay."""
    if "".join(written[-9:]) == "frozenset":
        return "{"
    del written[-3:]
    return "set()" if after == "}" else "{"


def _string_end(text: str, start: int) -> int:
    place = start + 1
    while place < len(text) and text[place] != text[start]:
        place += 2 if text[place] == "\\" else 1
    return place + 1

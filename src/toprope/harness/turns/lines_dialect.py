"""Dialect `lines` over turns: numbered views, edits by line numbers, plain commands.

For small models: an edit names its place by numbers that the view has shown.
"""

from __future__ import annotations

import re

from toprope.harness.turns.actions import Action, SetLines, Unreadable
from toprope.harness.turns.words import COMMANDS, command

NAME = "lines"
SYSTEM = f"""\
You mend a Python repository. Answer with one action a turn, and nothing else:
{COMMANDS}
edit PATH 12 14      put the lines that follow in the place of lines 12 to 14, up to `end`

Example:
edit calc.py 2 2
    return a + b
end"""

_EDIT = re.compile(r"edit\s+(\S+)\s+(\d+)(?:\s*[-, ]\s*(\d+))?\s*$")


def read(text: str) -> list[Action]:
    """Return the actions of a message; words around them are passed over."""
    lines = text.split("\n")
    actions: list[Action] = []
    at = 0
    while at < len(lines):
        edit = _EDIT.match(lines[at].strip().strip("`"))
        if edit:
            fenced = at + 1 < len(lines) and lines[at + 1].startswith("```")
            begin = at + 2 if fenced else at + 1
            end = _end(lines, begin)
            first = int(edit[2])
            body = "\n".join(lines[begin:end])
            if not body and end == len(lines):
                raise Unreadable("An edit is `edit PATH A B`, then the new lines, then `end`; an "
                                 "`end` at once takes the lines out.")  # fmt: skip
            actions.append(SetLines(edit[1].strip("'\"`"), first, int(edit[3] or first), body))
            at = end + 1
            continue
        found = command(lines[at])
        if found:
            actions.append(found)
        at += 1
    if not actions:
        raise Unreadable("That is no action. Answer with `edit PATH A B`, `view PATH`, `search "
                         "TEXT`, `test` or `submit` on a line of its own.")  # fmt: skip
    return actions


def _end(lines: list[str], begin: int) -> int:
    """Where an edit's text ends: at `end`, at a closing fence, or with the message."""
    for at in range(begin, len(lines)):
        if lines[at].strip() in ("end", "```"):
            return at
    return len(lines)

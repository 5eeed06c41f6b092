"""A teacher's answer as a change to a draft: the question's own function, given back.

Asked to correct a function, a teacher copies nearly all of it. The copy is taken as a draft
that need not be decoded, and an answer is a departure from it in one line. Knows Python and
the prompt's form, not who departs.
"""

from __future__ import annotations

import textwrap

from toprope.teacher.prompt import STOP, focus_lines
from toprope.terms import Task

_FENCE = "```python\n"
# Departures into remarks change nothing; into a fence, they end the answer.
_IDLE = ("#", '"""', "'''", "```")


def draft(task: Task) -> str:
    """Return the answer that changes nothing, as the teacher would write it."""
    return _FENCE + textwrap.dedent("\n".join(focus_lines(task))) + STOP[0].rstrip("\n")


def may_depart(before: str, piece: str) -> bool:
    """Return whether `piece` after `before` may begin a change of code.

    Not before the function's parameters: its name must stay. Not where it could only add
    an empty line or a remark.
    """
    _, named, rest = before.partition("def ")
    if not named or "(" not in rest or any(mark in piece for mark in _IDLE):
        return False
    return bool(piece.strip()) or bool(before.rsplit("\n", 1)[-1].strip())


def departed(text: str, before: str, new: str) -> str:
    """Return the draft `text` with the line that `before` ends in going on with `new`.

    What `new` has beyond its first line is left out, and so is the closing fence.
    """
    line = before.count("\n")
    rest = text.split("\n")[line + 1 :]
    whole = "\n".join([before + new.split("\n", 1)[0], *rest])
    return whole.removesuffix(STOP[0].rstrip("\n"))

"""Dialect `blocks` over turns: search-and-replace blocks and plain commands.

A block names its place by the text that stands there.
"""

from __future__ import annotations

import re

from toprope.harness.turns.actions import Action, Replace, Unreadable
from toprope.harness.turns.words import COMMANDS, command

NAME = "blocks"
SYSTEM = f"""\
You mend a Python repository. Each turn, answer with edit blocks or with one command.
Commands, each on a line of its own:
{COMMANDS}

An edit block is the file's path, then the exact lines as they are, then what to put there:
calc.py
<<<<<<< SEARCH
    return a - b
=======
    return a + b
>>>>>>> REPLACE"""

_BLOCK = re.compile(
    r"(?P<path>[^\n]*)\n(?:```\w*\n)?\s*<{5,9} ?SEARCH\s*?\n(?P<old>.*?)\n?={5,9}\s*?\n"
    r"(?P<new>.*?)\n?>{5,9} ?REPLACE",
    re.DOTALL,
)


def read(text: str) -> list[Action]:
    """Return the edits of a message in order, then its commands; other words are passed over."""
    actions: list[Action] = []
    for block in _BLOCK.finditer("\n" + text):
        above = block["path"].strip()
        path = "" if above.startswith("```") else above.strip("'\"`*#: ")
        actions.append(Replace(path, block["old"], block["new"]))
    rest = _BLOCK.sub("\n", "\n" + text)
    if "SEARCH" in rest and "<<<<<" in rest:
        raise Unreadable("An edit block is not closed: SEARCH, then =======, then >>>>>>> REPLACE.")
    actions += [found for line in rest.split("\n") if (found := command(line))]
    if not actions:
        raise Unreadable("That is no action. Answer with an edit block, or with `view PATH`, "
                         "`search TEXT`, `test` or `submit` on a line of its own.")  # fmt: skip
    return actions

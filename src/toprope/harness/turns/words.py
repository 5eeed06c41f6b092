"""The commands that `lines` and `blocks` share: one a line, plain words."""

from __future__ import annotations

import re

from toprope.harness.turns.actions import Action, RunTests, Search, Submit, View

COMMANDS = """\
view PATH            show a file; `view PATH 40 80` shows lines 40 to 80
search TEXT          find a text in all files
test                 run the tests you can see
submit               you are done"""

_VIEW = re.compile(r"view\s+(\S+)(?:\s+(\d+)(?:\s*[-, ]\s*(\d+))?)?\s*$")


def command(line: str) -> Action | None:
    """Return the action that a line spells, or None if it is no command.

    A prompt sign, quotes or backticks around it are forgiven.
    """
    plain = line.strip().strip("`").removeprefix("$").removeprefix(">").strip()
    lowered = plain.lower()
    found = _VIEW.match(plain)
    if found:
        first, last = int(found[2] or 1), int(found[3] or 0)
        return View(found[1].strip("'\"`"), first, last)
    if lowered.startswith("search "):
        return Search(plain[7:].strip().strip("'\"`"))
    if lowered in ("test", "tests", "run tests", "run_tests"):
        return RunTests()
    if lowered in ("submit", "done"):
        return Submit()
    return None

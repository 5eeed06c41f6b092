"""The `lines` dialect: a numbered view in, one corrected line out, for tiny models.

The model is shown the focus of one file, its lines numbered from 1, and what goes wrong;
it answers `N|new text of line N`. This module turns tasks into text and text into edits.
It does not know how text becomes tokens, who wrote it, or what it is worth.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from toprope.terms import Task, TopropeError

DIALECT = "lines"
SYSTEM = "Fix the wrong line. Reply: N|corrected line"
STOP = "\n"
DRAFTED = False
QUESTION = "{the lines, numbered from 1: N|line}\n{what goes wrong}"
ANSWER = "N|new text of line N"
ENDING = "the end of the first line"
_ACTION = re.compile(r"(\d{1,3})\|([^\n]*)")
_PARTIAL = re.compile(r"\d{0,3}|\d{1,3}\|[^\n]*")

SHOTS: tuple[tuple[str, str], ...] = (
    (
        "1|def last(items):\n2|    return items[0]\nlast([1, 2, 3]) returns 1, expected 3",
        "2|    return items[-1]",
    ),
    (
        "1|def count_even(numbers):\n2|    total = 0\n3|    for n in numbers:\n"
        "4|        if n % 2 == 1:\n5|            total += 1\n6|    return total\n"
        "count_even([2, 4, 5]) returns 1, expected 2",
        "4|        if n % 2 == 0:",
    ),
)
"""Hand-written examples for the protocol-granted control; none comes from a taskset."""


class MalformedAction(TopropeError):
    """The text is not an action of this dialect, or names a line that was not shown."""


def shown_lines(task: Task) -> list[str]:
    """Return the lines of the focus, without their line ends."""
    lines = task.files[task.focus.path].split("\n")
    return lines[task.focus.first - 1 : task.focus.last]


def render(task: Task) -> str:
    """Return what a student is shown: the numbered focus, then the failing example."""
    numbered = [f"{n}|{line}" for n, line in enumerate(shown_lines(task), start=1)]
    return "\n".join([*numbered, task.statement])


def messages(task: Task, *, granted: bool = False) -> list[dict[str, str]]:
    """Return the chat messages of an episode; `granted` puts two worked examples first."""
    return chat(SYSTEM, SHOTS if granted else (), render(task))


def chat(system: str, shots: Sequence[tuple[str, str]], question: str) -> list[dict[str, str]]:
    """Return chat messages: the system's, worked examples, the question."""
    talk = [{"role": "system", "content": system}]
    for asked, answer in shots:
        talk.append({"role": "user", "content": asked})
        talk.append({"role": "assistant", "content": answer})
    return [*talk, {"role": "user", "content": question}]


def draft(task: Task) -> str:
    """Return nothing: an answer of this dialect names a line and departs from no text."""
    return ""


def held(task: Task) -> str:
    """Return nothing: there is no draft to hold an answer to."""
    return ""


def parse(text: str, task: Task) -> dict[str, str]:
    """Return the changed files ({path: whole new text}) that an action asks for.

    Raises:
        MalformedAction: the text is not `N|line`, or N is not a shown line.
    """
    match = _ACTION.fullmatch(text.rstrip("\n"))
    if match is None:
        raise MalformedAction("the answer is not of the form N|line")
    number, line = int(match.group(1)), match.group(2)
    if not 1 <= number <= task.focus.last - task.focus.first + 1:
        raise MalformedAction(f"line {number} was not shown")
    lines = task.files[task.focus.path].split("\n")
    lines[task.focus.first - 2 + number] = line.rstrip()
    return {task.focus.path: "\n".join(lines)}


def unchanged(task: Task, action: str) -> str:
    """Return the action that names the same line and leaves it as it is."""
    number = action.partition("|")[0]
    return f"{number}|{shown_lines(task)[int(number) - 1]}"


def could_continue(text: str) -> bool:
    """Return whether some continuation of `text` (or `text` itself) is well formed."""
    return _PARTIAL.fullmatch(text) is not None


def ended(text: str, task: Task) -> str:
    """Return what is read of a sampled text: its first line."""
    return text.split(STOP)[0]


def express(task: Task, new_files: Mapping[str, str]) -> str | None:
    """Return a verified final state as an action of this dialect, or None if it cannot be one."""
    changed = {path: text for path, text in new_files.items() if task.files.get(path) != text}
    if set(changed) != {task.focus.path}:
        return None
    before = task.files[task.focus.path].split("\n")
    after = changed[task.focus.path].split("\n")
    if len(before) != len(after):
        return None
    moved = [at for at, (old, new) in enumerate(zip(before, after, strict=True)) if old != new]
    if len(moved) != 1 or not task.focus.first <= moved[0] + 1 <= task.focus.last:
        return None
    return f"{moved[0] + 2 - task.focus.first}|{after[moved[0]].rstrip()}"

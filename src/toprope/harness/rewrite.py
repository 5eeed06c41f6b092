"""The `rewrite` dialect: the function again, up to and with its corrected line.

The model is shown one function and what goes wrong, and writes the function from its first
line on. The first line that differs is its edit and ends the answer; the rest stays. Where to
edit is decided token by token, by departing from the text, and not by naming a number. What
is copied need not be decoded: `draft` is the answer that changes nothing, for a sampler that
reads it in one pass. It does not know how text becomes tokens.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping

from toprope.harness import lines
from toprope.harness.lines import MalformedAction, shown_lines
from toprope.terms import Task

DIALECT = "rewrite"
SYSTEM = "Fix the bug in the Python function."
STOP = "\n"
DRAFTED = True
QUESTION = "{the lines}\n{what goes wrong}"
ANSWER = "the lines up to and with the first that must change, changed"
ENDING = "the end of the first line that differs from the one shown"

SHOTS: tuple[tuple[str, str], ...] = (
    (
        "def last(items):\n    return items[0]\nlast([1, 2, 3]) returns 1, expected 3",
        "def last(items):\n    return items[-1]\n",
    ),
    (
        "def count_even(numbers):\n    total = 0\n    for n in numbers:\n"
        "        if n % 2 == 1:\n            total += 1\n    return total\n"
        "count_even([2, 4, 5]) returns 1, expected 2",
        "def count_even(numbers):\n    total = 0\n    for n in numbers:\n        if n % 2 == 0:\n",
    ),
)
"""Hand-written examples for the protocol-granted control; none comes from a taskset."""


def draft(task: Task) -> str:
    """Return the answer that changes nothing: the shown lines without their common indent."""
    return "".join(f"{line}\n" for line in _dedented(task))


def held(task: Task) -> str:
    """Return how every answer begins that keeps the function's name: up to its parameters."""
    before, paren, _ = draft(task).partition("(")
    return before + paren if paren else ""


def messages(task: Task, *, granted: bool = False) -> list[dict[str, str]]:
    """Return the chat messages of an episode; `granted` puts two worked examples first."""
    return lines.chat(SYSTEM, SHOTS if granted else (), draft(task) + task.statement)


def parse(text: str, task: Task) -> dict[str, str]:
    """Return the changed files ({path: whole new text}) that an answer asks for.

    What comes after the first line that differs is not read; a copy changes nothing.

    Raises:
        MalformedAction: the answer leaves the function's head, or with its line a Python file
            is no Python any more.
    """
    whole = task.files[task.focus.path].split("\n")
    answered = text.removesuffix("\n").split("\n")
    at = _edited(answered, task)
    if not text.startswith(held(task)):
        raise MalformedAction("the answer leaves the function's head")
    if at is not None:
        line = answered[at].rstrip()
        whole[task.focus.first - 1 + at] = _margin(task) + line if line else ""
    changed = "\n".join(whole)
    try:
        if task.focus.path.endswith(".py"):
            ast.parse(changed)
    except (SyntaxError, ValueError) as error:
        raise MalformedAction(f"the answer leaves no Python: {error}") from error
    return {task.focus.path: changed}


def unchanged(task: Task, action: str) -> str:
    """Return the answer that departs nowhere."""
    return draft(task)


def could_continue(text: str) -> bool:
    """Return whether what follows a departure can still become an answer: any line can."""
    return True


def ended(text: str, task: Task) -> str:
    """Return what is read of a sampled text: it, up to the end of the first line that differs."""
    answered = text.split("\n")
    at = _edited(answered[:-1], task)  # the last one has not ended
    return text if at is None else "".join(f"{line}\n" for line in answered[: at + 1])


def express(task: Task, new_files: Mapping[str, str]) -> str | None:
    """Return a verified final state as an answer of this dialect, or None if it cannot be one."""
    action = lines.express(task, new_files)
    if action is None:
        return None
    number, _, line = action.partition("|")
    margin = _margin(task)
    if line and not line.startswith(margin):
        return None
    kept = _dedented(task)[: int(number) - 1]
    return "".join(f"{one}\n" for one in [*kept, line.removeprefix(margin)])


def _edited(answered: list[str], task: Task) -> int | None:
    """Return the index of the first line that differs, blanks at line ends apart."""
    pairs = enumerate(zip(answered, _dedented(task), strict=False))
    return next((at for at, (a, b) in pairs if a.rstrip() != b.rstrip()), None)


def _margin(task: Task) -> str:
    """Return the indent that all shown lines share."""
    indents = [line[: len(line) - len(line.lstrip())] for line in shown_lines(task) if line.strip()]
    shortest = min(indents, key=len, default="")
    return shortest if all(indent.startswith(shortest) for indent in indents) else ""


def _dedented(task: Task) -> list[str]:
    margin = _margin(task)
    return [line.removeprefix(margin) if line.strip() else "" for line in shown_lines(task)]

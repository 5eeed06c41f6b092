"""Well-formed wrong edits: the form of an answer without its content, a control and no teacher.

What a student learns from these it has learned from the form alone. They cost no teacher
tokens, and each is graded to be sure that it does not solve its task.
"""

from __future__ import annotations

import ast
import random

from toprope.grading import Grader
from toprope.teacher.protocol import Express, attempt_id
from toprope.terms import Attempt, Outcome, Task

_TRIES = 40


class FormTeacher:
    """Gives a task with one of its lines replaced by another of them, a new one each time."""

    name = "form"
    answer_key = False
    parameters = None
    ended = ""

    def __init__(self, grader: Grader, express: Express) -> None:
        self._grader, self._express = grader, express

    def attempts(self, task: Task, n: int, start: int = 0) -> list[Attempt]:
        """Attempts `start` to `start + n - 1`; fewer where the task has no such edit."""
        states = [(at, wrong_edit(task, at)) for at in range(start, start + n)]
        found = [(at, files) for at, files in states if files is not None]
        verdicts = self._grader.grade_many(
            [(attempt_id(task.id, self.name, at), task, files) for at, files in found]
        )
        return [
            self._attempt(task, at, files, verdict.outcome)
            for (at, files), verdict in zip(found, verdicts, strict=True)
        ]

    def _attempt(self, task: Task, at: int, files: dict[str, str], outcome: Outcome) -> Attempt:
        action = self._express(task, {**task.files, **files})
        return Attempt(
            id=attempt_id(task.id, self.name, at),
            task_id=task.id,
            teacher=self.name,
            prompt="",
            text=action or "",
            prompt_tokens=0,
            completion_tokens=0,
            outcome=outcome,
            why="a line of the task in another one's place",
            action=action,
        )


def wrong_edit(task: Task, number: int) -> dict[str, str] | None:
    """Return the shown file with one line replaced by another shown one, or None.

    The first line stays, because it may be the head of a function; the indent of the line
    that is replaced is kept. Which lines they are follows from the task and `number`.
    """
    rng = random.Random(f"{task.id}:{number}")
    lines = task.files[task.focus.path].split("\n")
    shown = range(task.focus.first, task.focus.last)  # 0-based, without the first
    if len(shown) < 2:
        return None
    for _ in range(_TRIES):
        at, source = rng.sample(shown, 2)
        indent = lines[at][: len(lines[at]) - len(lines[at].lstrip())]
        line = indent + lines[source].strip()
        text = "\n".join([*lines[:at], line, *lines[at + 1 :]])
        if line.strip() and line != lines[at] and _reads(text, task):
            return {task.focus.path: text}
    return None


def _reads(text: str, task: Task) -> bool:
    """Return whether a Python file still is one."""
    if not task.focus.path.endswith(".py"):
        return True
    try:
        ast.parse(text)
    except (SyntaxError, ValueError):
        return False
    return True

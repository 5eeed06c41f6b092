"""The task's own fix as a teacher: an answer key, for tests and upper bounds.

Selectable, labelled, free, and never evidence: no claim rests on it.
"""

from __future__ import annotations

from toprope.teacher.protocol import Express, attempt_id
from toprope.terms import Attempt, Outcome, Task


class ReferenceTeacher:
    """Gives the reference fix, once per task. Proven with the taskset, so not graded again."""

    name = "reference"
    answer_key = True
    parameters = None
    ended = ""

    def __init__(self, express: Express) -> None:
        self._express = express

    def attempts(self, task: Task, n: int, start: int = 0) -> list[Attempt]:
        """The one attempt there is, at index 0."""
        if start > 0 or n < 1:
            return []
        action = self._express(task, {**task.files, **task.solution})
        return [
            Attempt(
                id=attempt_id(task.id, self.name, 0),
                task_id=task.id,
                teacher=self.name,
                prompt="",
                text=task.solution.get(task.focus.path, ""),
                prompt_tokens=0,
                completion_tokens=0,
                outcome=Outcome.PASSED,
                why="the task's own fix" if action else "the task's own fix, not expressible",
                action=action,
            )
        ]

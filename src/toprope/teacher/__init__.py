"""The stronger model: live behind an endpoint, recorded, or the task's own fix."""

from toprope.teacher.choose import open_teacher
from toprope.teacher.protocol import (
    Budget,
    BudgetExhausted,
    Price,
    Teacher,
    TeacherError,
    attempt_id,
)

__all__ = [
    "Budget",
    "BudgetExhausted",
    "Price",
    "Teacher",
    "TeacherError",
    "attempt_id",
    "open_teacher",
]

"""Tasksets: named, ordered, hashed collections of tasks in three splits."""

from toprope.tasks.rows import TaskFormatError, from_row, to_row
from toprope.tasks.taskset import (
    Taskset,
    TasksetNotFound,
    load_taskset,
    make_taskset,
    save_taskset,
)

__all__ = [
    "TaskFormatError",
    "Taskset",
    "TasksetNotFound",
    "from_row",
    "load_taskset",
    "make_taskset",
    "save_taskset",
    "to_row",
]

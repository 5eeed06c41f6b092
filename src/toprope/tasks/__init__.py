"""Tasksets: named, ordered, hashed collections of tasks in three splits."""

from toprope.tasks.environments import EnvironmentFault, load_environments, save_environments
from toprope.tasks.rows import from_row, to_row
from toprope.tasks.soundness import TaskFormatError
from toprope.tasks.taskset import (
    Taskset,
    TasksetNotFound,
    load_taskset,
    make_taskset,
    save_taskset,
)
from toprope.tasks.trees import make_tree

__all__ = [
    "EnvironmentFault",
    "TaskFormatError",
    "Taskset",
    "TasksetNotFound",
    "from_row",
    "load_environments",
    "load_taskset",
    "make_taskset",
    "make_tree",
    "save_environments",
    "save_taskset",
    "to_row",
]

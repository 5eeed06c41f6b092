"""Tasksets: named, ordered, hashed collections of tasks in three splits, in several forms."""

from toprope.tasks.environments import EnvironmentFault, load_environments, save_environments
from toprope.tasks.foreign import Foreign, NeedsContainer, divided, refuse_foreign, told
from toprope.tasks.harbor_read import read_harbor
from toprope.tasks.harbor_write import write_harbor
from toprope.tasks.rows import from_row, to_row
from toprope.tasks.sets import Form, Loaded, TargetInTheWay, load_any, save_as
from toprope.tasks.soundness import TaskFormatError
from toprope.tasks.swebench import from_swebench, to_swebench
from toprope.tasks.taskset import (
    Taskset,
    TasksetNotFound,
    load_taskset,
    make_taskset,
    save_taskset,
)
from toprope.tasks.trees import flattened, make_tree

__all__ = [
    "EnvironmentFault",
    "Foreign",
    "Form",
    "Loaded",
    "NeedsContainer",
    "TargetInTheWay",
    "TaskFormatError",
    "Taskset",
    "TasksetNotFound",
    "divided",
    "flattened",
    "from_row",
    "from_swebench",
    "load_any",
    "load_environments",
    "load_taskset",
    "make_taskset",
    "make_tree",
    "read_harbor",
    "refuse_foreign",
    "save_as",
    "save_environments",
    "save_taskset",
    "to_row",
    "to_swebench",
    "told",
    "write_harbor",
]

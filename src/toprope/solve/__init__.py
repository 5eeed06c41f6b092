"""Puts a model to work on a repository with a failing test.

The one room that needs both what `forge` knows of repositories and what `climb` knows of
trained models, so it stands left of both.
"""

from toprope.solve.asked import Asked
from toprope.solve.budget import Limits
from toprope.solve.failing import NothingFails
from toprope.solve.patch import apply, refuse_dirty, write_patch
from toprope.solve.solve import SOLVED, Ended, solve

__all__ = [
    "SOLVED",
    "Asked",
    "Ended",
    "Limits",
    "NothingFails",
    "apply",
    "refuse_dirty",
    "solve",
    "write_patch",
]

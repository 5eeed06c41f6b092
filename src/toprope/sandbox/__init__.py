"""Where untrusted code runs: one file per wall, one small protocol.

A sandbox knows nothing of tasks, grades or models: it runs a program with some files
under limits and says how that ended, or keeps its room open as a session.
"""

from toprope.sandbox.doors import LEVELS, open_sandbox, probe
from toprope.sandbox.engines import lacking
from toprope.sandbox.pool import WITH_PYTEST
from toprope.sandbox.protocol import (
    Job,
    Limits,
    NotAFile,
    Result,
    Sandbox,
    SandboxError,
    SandboxUnavailable,
    Session,
    SessionEnded,
    Start,
    TooMuchChanged,
    UnknownEnvironment,
    Walls,
    WorkerDied,
)

__all__ = [
    "LEVELS",
    "WITH_PYTEST",
    "Job",
    "Limits",
    "NotAFile",
    "Result",
    "Sandbox",
    "SandboxError",
    "SandboxUnavailable",
    "Session",
    "SessionEnded",
    "Start",
    "TooMuchChanged",
    "UnknownEnvironment",
    "Walls",
    "WorkerDied",
    "lacking",
    "open_sandbox",
    "probe",
]

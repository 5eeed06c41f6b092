"""Where untrusted code runs: one file per wall, one small protocol.

A sandbox knows nothing of tasks, grades or models: it runs a program with some files
under limits and says how that ended.
"""

from toprope.sandbox.doors import open_sandbox, probe
from toprope.sandbox.pool import WITH_PYTEST
from toprope.sandbox.protocol import (
    Job,
    Limits,
    Result,
    Sandbox,
    SandboxError,
    SandboxUnavailable,
    UnknownEnvironment,
    Walls,
    WorkerDied,
)

__all__ = [
    "WITH_PYTEST",
    "Job",
    "Limits",
    "Result",
    "Sandbox",
    "SandboxError",
    "SandboxUnavailable",
    "UnknownEnvironment",
    "Walls",
    "WorkerDied",
    "open_sandbox",
    "probe",
]

"""The ways into a sandbox: open one, or ask which walls would stand around it."""

from __future__ import annotations

from collections.abc import Mapping

from toprope.sandbox.namespaces import NamespaceSandbox
from toprope.sandbox.protocol import Sandbox, SandboxError, SandboxUnavailable, Walls
from toprope.sandbox.unsafe_local import UnsafeLocalSandbox
from toprope.terms import Environment


def open_sandbox(
    *,
    workers: int = 1,
    unsafe_local: bool = False,
    environments: Mapping[str, Environment] | None = None,
) -> Sandbox:
    """Start a sandbox whose walls were seen to stand, for jobs in these `environments`.

    Raises `SandboxUnavailable`, with the cause and the fix, where they cannot be raised.
    Only `unsafe_local=True` runs code without them; its `walls.isolated` is False.
    """
    if workers < 1:
        raise ValueError(f"a sandbox needs at least 1 worker, not {workers}")
    if unsafe_local:
        return UnsafeLocalSandbox(workers, environments)
    return NamespaceSandbox(workers, environments)


def probe() -> Walls:
    """Which walls stand on this machine; never raises for a missing one."""
    try:
        sandbox = NamespaceSandbox(1)
    except SandboxUnavailable as refusal:
        return Walls("unsafe-local", False, (), refusal.missing, refusal.fix)
    except SandboxError as error:
        return Walls("unsafe-local", False, (), (str(error),), "run the command again")
    try:
        return sandbox.walls
    finally:
        sandbox.close()

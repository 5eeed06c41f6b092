"""The ways into a sandbox: open one, or ask which walls would stand around it."""

from __future__ import annotations

from collections.abc import Mapping

from toprope.sandbox.advice import without_risk
from toprope.sandbox.landlock import LandlockSandbox
from toprope.sandbox.namespaces import NamespaceSandbox
from toprope.sandbox.protocol import Sandbox, SandboxError, SandboxUnavailable, Walls
from toprope.sandbox.unsafe_local import UnsafeLocalSandbox
from toprope.terms import Environment

LEVELS = ("namespaces", "landlock")


def open_sandbox(
    *,
    workers: int = 1,
    unsafe_local: bool = False,
    environments: Mapping[str, Environment] | None = None,
    level: str = "",
) -> Sandbox:
    """Start a sandbox whose walls were seen to stand, for jobs in these `environments`.

    The first of `LEVELS` that can be raised, or the one named by `level`. Raises
    `SandboxUnavailable`, with the cause and the fix, where none can.
    Only `unsafe_local=True` runs code without them; its `walls.isolated` is False.
    """
    if workers < 1:
        raise ValueError(f"a sandbox needs at least 1 worker, not {workers}")
    if level not in ("", *LEVELS):
        raise ValueError(f"there is no level {level!r}, only {' and '.join(LEVELS)}")
    if unsafe_local:
        return UnsafeLocalSandbox(workers, environments)
    if level == "landlock":
        return LandlockSandbox(workers, environments)
    try:
        return NamespaceSandbox(workers, environments)
    except SandboxUnavailable as refusal:
        if level:
            raise
        return _second_best(workers, environments, refusal)


def _second_best(
    workers: int, environments: Mapping[str, Environment] | None, refusal: SandboxUnavailable
) -> Sandbox:
    try:
        return LandlockSandbox(workers, environments, fix=_better(refusal))
    except SandboxUnavailable as second:
        raise SandboxUnavailable((*refusal.missing, *second.missing), refusal.fix) from second


def probe(level: str = "") -> Walls:
    """Which walls stand on this machine (at this level); never raises for a missing one."""
    try:
        sandbox = open_sandbox(level=level)
    except SandboxUnavailable as refusal:
        return Walls("unsafe-local", False, (), refusal.missing, refusal.fix)
    except SandboxError as error:
        return Walls("unsafe-local", False, (), (str(error),), "run the command again")
    try:
        return sandbox.walls
    finally:
        sandbox.close()


def _better(refusal: SandboxUnavailable) -> str:
    return f"These would stand with namespaces: {without_risk(refusal.fix)}"

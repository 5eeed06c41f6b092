"""How a job or a command ended, in the words of `Result`."""

from __future__ import annotations

import os
import signal
from typing import Any

from . import usage, watch


def verdict(gathered: watch.Gathered, limits: dict[str, Any]) -> dict[str, Any]:
    """How the job ended, or `infra` if its room failed."""
    if gathered.stopped:
        return stopped(gathered.stopped)
    said = gathered.pipes["status"].decode("utf-8", "replace")
    if not said.startswith("W"):
        return {"infra": said[1:] or "the room ended without saying how"}
    return ending(int(said[1:]), limits)


def stopped(excess: watch.Excess) -> dict[str, Any]:
    """The ending of what was killed for passing a limit."""
    return {**vars(excess), "returncode": -int(signal.SIGKILL)}


def ending(wait_status: int, limits: dict[str, Any]) -> dict[str, Any]:
    """The ending that a wait status tells."""
    code = os.waitstatus_to_exitcode(wait_status)
    if code == -signal.SIGXCPU:
        return {"status": "timeout", "returncode": code, "why": usage.too_slow(limits)}
    if code < 0:
        return {"status": "signalled", "returncode": code, "why": f"died of signal {-code}"}
    return {"status": "exited", "returncode": code, "why": f"exited with {code}"}

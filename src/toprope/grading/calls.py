"""Asks a sandbox what the calls of a function do; knows no expected value.

The answer is canonical text per call (see `runner.canonical`), read from a private pipe:
exactly one record, bearing the nonce made for this run, naming exactly the calls asked.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from toprope.grading.records import Forged, read_record
from toprope.grading.runner import canonical
from toprope.sandbox.protocol import Job, Limits, Result, Sandbox

__all__ = ["LIMITS", "Answer", "ask", "canonical", "comparable", "observe_calls"]

# Wall time is generous because a busy machine must not change an outcome; processor time
# and the time per call are what bound an attempt.
LIMITS = Limits(wall_s=10.0, cpu_s=3.0, memory_mb=512, processes=16, disk_mb=16)
CALL_S = 0.5
_LONGEST_OUTCOME = 2400
_NEVER_EQUAL = ("opaque", "timeout", "unrun", "error:")
_PROGRAM = Path(__file__).with_name("runner.py").read_text(encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: `outcomes` per call id, or a `fault` of the code that was run.

    `fault` is "", "timeout", "limit", "ended" (no result), "load" (see `why`) or "forged".
    """

    outcomes: Mapping[str, str] = field(default_factory=dict)
    fault: str = ""
    why: str = ""


def comparable(outcome: str) -> bool:
    """Whether an outcome can be expected of anyone: it is a value or an exception."""
    return not outcome.startswith(_NEVER_EQUAL)


def observe_calls(
    sandbox: Sandbox,
    files: Mapping[str, str],
    entry: str,
    calls: Sequence[tuple[str, str]],
    *,
    limits: Limits = LIMITS,
    call_s: float = CALL_S,
    timeouts: int = 2,
) -> dict[str, str]:
    """The canonical outcome of each `(id, arguments)`, or "error:..." where there is none.

    Arguments are the source of a tuple: literals and the names in `runner.ARGUMENT_NAMES`.
    After `timeouts` calls that took too long, the rest are "unrun".
    """
    answer = ask(
        sandbox, "observe", files, entry, calls, limits=limits, call_s=call_s, timeouts=timeouts
    )
    if answer.fault:
        return {name: f"error:{answer.fault} {answer.why}".strip() for name, _ in calls}
    return dict(answer.outcomes)


def ask(
    sandbox: Sandbox,
    job_id: str,
    files: Mapping[str, str],
    entry: str,
    calls: Sequence[tuple[str, str]],
    *,
    limits: Limits = LIMITS,
    call_s: float = CALL_S,
    timeouts: int = 1,
) -> Answer:
    """Run the calls in one fresh job; raises `SandboxError` only for failures of ours."""
    nonce = secrets.token_hex(16)
    request = {
        "nonce": nonce,
        "entry": entry,
        "calls": [list(call) for call in calls],
        "call_s": call_s,
        "timeouts": timeouts,
    }
    stdin = json.dumps(request).encode("ascii")
    result = sandbox.run(Job(job_id, files, _PROGRAM, stdin, limits, trusted=True))
    return _read(result, nonce, [name for name, _ in calls])


def _read(result: Result, nonce: str, names: list[str]) -> Answer:
    if result.status in ("timeout", "limit"):
        return Answer(fault=result.status, why=result.why)
    if not result.result:
        return Answer(fault="ended", why=result.why)
    try:
        error, outcomes = _record(result.result, nonce, names)
    except Forged as reason:
        return Answer(fault="forged", why=str(reason))
    if error == "timeout while loading":
        return Answer(fault="timeout", why=error)
    return Answer(fault="load", why=error) if error else Answer(outcomes)


def _record(data: bytes, nonce: str, names: list[str]) -> tuple[str, dict[str, str]]:
    record = read_record(data, nonce, ("nonce", "error", "outcomes"))
    error, outcomes = record["error"], record["outcomes"]
    if not isinstance(error, str) or not isinstance(outcomes, dict) or list(outcomes) != names:
        raise Forged("not the calls that were asked")
    for outcome in outcomes.values():
        if not isinstance(outcome, str) or len(outcome) > _LONGEST_OUTCOME:
            raise Forged("not an outcome")
    return error[:300], outcomes

"""Asks a sandbox how a suite's tests end; knows no wanted outcome.

The answer is read from a private pipe: exactly one record that bears the nonce of this run.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from toprope.grading.bundle import program
from toprope.grading.records import Forged, read_record
from toprope.sandbox.pool import WITH_PYTEST
from toprope.sandbox.protocol import Job, Limits, Result, Sandbox
from toprope.terms import Suite, Tree

_PROGRAM = program()
_KEYS = ("nonce", "error", "outcomes", "texts", "calls", "seconds", "cpu_s")
_OUTCOMES = ("passed", "failed", "error", "skipped", "xfailed")
_NOT_PLAIN = "not plain: "
_PATIENCE = 3  # wall time per processor time: a busy machine must not change an outcome


@dataclass(frozen=True, slots=True)
class SuiteRun:
    """What came back: `outcomes` per test id, or a `fault` of the code that was run.

    `fault` is "", "timeout", "limit", "ended" (no result; see `why`) or "forged". `error`
    says how pytest itself ended if not well. `texts` holds the end of each failure's report
    and `calls` the (path, first line) of each function a test called, if they were asked
    for; `seconds` wall time per test, `cpu_s` processor time of all.
    """

    outcomes: Mapping[str, str] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    calls: Mapping[str, Sequence[tuple[str, int]]] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    cpu_s: float = 0.0
    error: str = ""
    fault: str = ""
    why: str = ""
    output: str = ""

    @property
    def undecided(self) -> bool:
        """Whether the quick runner found that pytest itself has to run; `error` says why."""
        return self.error.startswith(_NOT_PLAIN)


def run_suite(
    sandbox: Sandbox,
    job_id: str,
    suite: Suite,
    files: Mapping[str, str],
    *,
    tree: Tree | None = None,
    removed: Sequence[str] = (),
    wanted: Sequence[str] | None = None,
    texts: bool = False,
    calls: bool = False,
    plain: Mapping[str, Any] | None = None,
) -> SuiteRun:
    """Run `suite` over `files` on top of `tree` in one fresh job, all tests or the `wanted`.

    The suite's own files are laid on last. `plain` has the quick runner run the `wanted`,
    see `plain_suites.Settings.told`. Raises `SandboxError` only for failures of ours.
    """
    nonce = secrets.token_hex(16)
    request = {
        "nonce": nonce,
        "imports": list(suite.imports),
        "args": list(suite.args),
        "paths": list(suite.paths),
        "wanted": None if wanted is None else list(wanted),
        "texts": texts,
        "calls": calls,
        "plain": plain,
    }
    whole = {**files, **suite.files}
    job = Job(
        job_id,
        _changed(whole, tree, removed),
        _PROGRAM,
        json.dumps(request).encode("ascii"),
        limits(suite),
        trusted=True,
        tree=tree,
        removed=tuple(path for path in removed if path not in whole),
        environment=suite.environment or WITH_PYTEST,
    )
    return _read(sandbox.run(job), nonce)


def _changed(
    files: Mapping[str, str], tree: Tree | None, removed: Sequence[str]
) -> Mapping[str, str]:
    """The files that the tree does not hold as they are; of its own it has compiled code ready."""
    held = tree.files if tree else {}
    return {path: text for path, text in files.items() if held.get(path) != text}


def limits(suite: Suite) -> Limits:
    """What one run of the suite may use."""
    return Limits(
        wall_s=suite.timeout_s * _PATIENCE,
        cpu_s=suite.timeout_s,
        memory_mb=1024,
        processes=64,
        output_bytes=16 << 20,
        disk_mb=64,
        descriptors=256,
    )


def _read(result: Result, nonce: str) -> SuiteRun:
    output = result.stdout[-4000:].decode("utf-8", "replace")
    if result.status in ("timeout", "limit"):
        return SuiteRun(fault=result.status, why=result.why, output=output)
    if not result.result:
        return SuiteRun(fault="ended", why=result.why, output=output)
    try:
        record = read_record(result.result, nonce, _KEYS)
        return SuiteRun(
            outcomes=_checked(record["outcomes"]),
            texts={str(name): str(text) for name, text in record["texts"].items()},
            calls={
                str(name): [(str(path), int(line)) for path, line in places]
                for name, places in record["calls"].items()
            },
            seconds={str(name): float(spent) for name, spent in record["seconds"].items()},
            cpu_s=float(record["cpu_s"]),
            error=str(record["error"])[:300],
            output=output,
        )
    except (Forged, AttributeError, TypeError, ValueError) as reason:
        why = str(reason) if isinstance(reason, Forged) else "not a record"
        return SuiteRun(fault="forged", why=why, output=output)


def _checked(outcomes: Any) -> dict[str, str]:
    if not isinstance(outcomes, dict) or not set(outcomes.values()) <= set(_OUTCOMES):
        raise Forged("not an outcome")
    return {str(name): str(outcome) for name, outcome in outcomes.items()}

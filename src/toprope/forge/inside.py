"""The part of a trial that runs inside the sandbox: variants of one function, many calls.

Its text is sent behind that of `grading.runner`, whose names it uses, so that outcomes are
made by the very code that grades. It must not know which variant is right.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from types import FrameType
from typing import Any, NoReturn

from toprope.grading.runner import Clock, Run


class _ProcessorClock(Clock):
    """Counts processor time only, so that a busy machine never changes a build."""

    def start(self, share: float = 1.0) -> None:
        self.rings = 0
        self.armed = True
        signal.setitimer(signal.ITIMER_PROF, self.seconds * share, 0.05)


def answer_trial(result_fd: int) -> NoReturn:
    """Read the request from standard input, run every variant on every call, answer, leave."""
    request = json.loads(sys.stdin.buffer.read())
    calls = [compile(args, "args", "eval") for args in request["calls"]]
    answer: dict[str, Any] = {"outcomes": [], "lines": [], "steps": 0}
    for text in request["variants"]:
        answer["outcomes"].append(_variant(text, calls, request, answer, result_fd))
    data = json.dumps(answer).encode("ascii")
    while data:
        data = data[os.write(result_fd, data) :]
    os._exit(0)


def _variant(text: str, calls: list[Any], request: dict[str, Any], answer: dict[str, Any],
             result_fd: int) -> list[str]:  # fmt: skip
    run = Run({"calls": [], "call_s": request["limit"]}, result_fd)
    run.clock = _ProcessorClock(request["limit"], run._stuck)
    space: dict[str, Any] = {"__name__": request["filename"][:-3]}
    try:
        exec(compile(text, request["filename"], "exec"), space)
        function = space[request["name"]]
    except Exception as fault:
        return [f"error:{type(fault).__name__}"] * len(calls)
    row: list[str] = []
    for call in calls:
        if row and row[-1] == "timeout":
            row.append("timeout")
            continue
        seen: dict[int, int] = {}
        if request["trace"]:
            sys.settrace(_tracer(request["filename"], seen))
        try:
            row.append(run._one(function, call))
        finally:
            sys.settrace(None)
        if request["trace"]:
            first = request["first"]
            answer["lines"].append(sorted((n, min(c, 2)) for n, c in seen.items() if n >= first))
            answer["steps"] = max(answer["steps"], sum(seen.values()))
    return row


def _tracer(filename: str, seen: dict[int, int]) -> Any:
    def line(frame: FrameType, event: str, argument: object) -> Any:
        if event == "line":
            seen[frame.f_lineno] = seen.get(frame.f_lineno, 0) + 1
        return line

    def call(frame: FrameType, event: str, argument: object) -> Any:
        return line if frame.f_code.co_filename == filename else None

    return call

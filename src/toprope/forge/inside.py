"""The part of a trial that runs inside the sandbox: variants of one function, many calls.

Its text is sent behind that of `grading.runner`, whose names it uses, so that outcomes are
made by the very code that grades. It must not know which variant is right.

What is too slow is decided by counting lines, never by a clock, so that every machine decides
alike. Counting makes code several times slower; so a call first runs uncounted, for less time
than any machine needs for that many lines, and only what is not done by then runs once more.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, NoReturn

from toprope.grading.runner import Clock, Overtime, Run

_MOST_LINES = 200_000  # of Python, in any file but this one
_GLANCE_S = 0.001  # no machine runs that many lines in it, at 5 ns a line
_LAST_RESORT_S = 0.25  # for what runs no lines: one long call of a built-in
_CUT_S = 0.01
_TOO_MUCH = ("raises MemoryError", "raises RecursionError")
_AGAIN_S = 0.05


class _Glance(Clock):
    """A first look, in processor time; whoever is not done by its end runs again, counted.

    The end is measured: a timer rings only at a tick of the system, milliseconds late.
    """

    begun = 0.0

    def start(self, share: float = 1.0) -> None:
        self.rings = 0
        self.armed = True
        signal.setitimer(signal.ITIMER_PROF, _GLANCE_S, _AGAIN_S)
        self.begun = time.process_time()

    def stop(self) -> None:
        late = self.armed and time.process_time() - self.begun > _GLANCE_S
        super().stop()
        self.rings += late


class _LineCounter(Clock):
    """Stops a call at its line `_MOST_LINES`; notes the lines of one file if asked to.

    The exception that stops a call also ends the counting, so a call that swallows it is cut
    off by the clock; it counts as stopped whatever it returns.
    """

    def __init__(self, on_stuck: Callable[[], NoReturn], filename: str | None) -> None:
        super().__init__(_LAST_RESORT_S, on_stuck)
        self.filename = filename
        self.seen: dict[int, int] = {}
        self.left = _MOST_LINES

    def start(self, share: float = 1.0) -> None:
        self.rings = 0
        self.armed = True
        self.left = _MOST_LINES
        self.seen = {}
        signal.setitimer(signal.ITIMER_PROF, _LAST_RESORT_S, _AGAIN_S)
        sys.settrace(self._call)

    def stop(self) -> None:
        sys.settrace(None)
        super().stop()

    def _call(self, frame: FrameType, event: str, argument: object) -> Any:
        if frame.f_globals is globals():
            return None
        return self._watch if frame.f_code.co_filename == self.filename else self._count

    def _watch(self, frame: FrameType, event: str, argument: object) -> Any:
        if event == "line":
            self.seen[frame.f_lineno] = self.seen.get(frame.f_lineno, 0) + 1
        self._count(frame, event, argument)
        return self._watch

    def _count(self, frame: FrameType, event: str, argument: object) -> Any:
        if event == "line":
            self.left -= 1
            if self.left < 0:
                self.rings = 1
                signal.setitimer(signal.ITIMER_PROF, _CUT_S, _AGAIN_S)
                raise Overtime
        return self._count


class _Variant:
    """One text of the file, called again and again."""

    def __init__(self, text: str, request: dict[str, Any], result_fd: int) -> None:
        self.code = compile(text, request["filename"], "exec")
        self.request = request
        self.run = Run({"calls": [], "call_s": _LAST_RESORT_S}, result_fd)
        self.glance = _Glance(_GLANCE_S, self.run._stuck)
        watched = request["filename"] if request["trace"] else None
        self.counter = _LineCounter(self.run._stuck, watched)
        self.counted = request["counted"] or request["trace"]
        self._load()

    def _load(self) -> None:
        """Make the function anew: what an earlier call has left in its module is gone."""
        random.seed(0)
        space: dict[str, Any] = {"__name__": self.request["filename"][:-3]}
        exec(self.code, space)
        self.function = space[self.request["name"]]

    def answer(self, call: Any) -> str:
        """Return the outcome of one call; out of memory or depth is too much like out of time.

        How deep a call got before it was stopped depends on whether it was counted.
        """
        outcome = "timeout" if self.counted else self._under(self.glance, call)
        if outcome == "timeout":
            outcome = self._under(self.counter, call)
        return "timeout" if outcome.startswith(_TOO_MUCH) else outcome

    def _under(self, clock: Clock, call: Any) -> str:
        self._load()
        self.run.clock = clock
        signal.signal(signal.SIGPROF, clock._ring)
        return self.run._one(self.function, call)


def answer_trial(result_fd: int) -> NoReturn:
    """Read the request from standard input, run every variant on every call, answer, leave."""
    request = json.loads(sys.stdin.buffer.read())
    calls = [compile(args, "args", "eval") for args in request["calls"]]
    answer: dict[str, Any] = {"outcomes": [], "lines": [], "steps": 0}
    for text in request["variants"]:
        answer["outcomes"].append(_row(text, calls, request, answer, result_fd))
    data = json.dumps(answer).encode("ascii")
    while data:
        data = data[os.write(result_fd, data) :]
    os._exit(0)


def _row(text: str, calls: list[Any], request: dict[str, Any], answer: dict[str, Any],
         result_fd: int) -> list[str]:  # fmt: skip
    """Return the outcome of each call; after the first that is too slow, all are."""
    try:
        variant = _Variant(text, request, result_fd)
    except Exception as fault:
        return [f"error:{type(fault).__name__}"] * len(calls)
    row: list[str] = []
    for call in calls:
        slow = bool(row) and row[-1] == "timeout"
        row.append("timeout" if slow else variant.answer(call))
        if request["trace"] and not slow:
            seen, first = variant.counter.seen, request["first"]
            answer["lines"].append(sorted((n, min(c, 2)) for n, c in seen.items() if n >= first))
            answer["steps"] = max(answer["steps"], sum(seen.values()))
    return row

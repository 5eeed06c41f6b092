"""Runs variants of one function on many calls in one sandbox job, and says what came out.

Outcomes are the canonical ones of `grading.calls`, so what is seen here is what grading will
see. It must not know which variant is right.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toprope.grading import runner
from toprope.sandbox.protocol import Job, Limits, Sandbox

TIMEOUT = "timeout"
# Wall time is only a last resort: what a busy machine decides would not repeat. Little memory,
# because filling it takes a time that no count of lines knows.
_LIMITS = Limits(wall_s=240.0, cpu_s=20.0, memory_mb=96, output_bytes=1 << 23)


def _program() -> str:
    """Put the grading runner's text and ours together: inside there is no toprope to import."""
    ours = Path(__file__).with_name("inside.py").read_text(encoding="utf-8")
    theirs = Path(runner.__file__).read_text(encoding="utf-8")
    text = theirs.partition('if __name__ == "__main__":')[0] + ours
    for line in (
        "from __future__ import annotations",
        "from toprope.grading.runner import Clock, Overtime, Run",
    ):
        text = text.replace(line + "\n", "")
    return text + "\nanswer_trial(RESULT_FD)\n"


_PROGRAM = _program()
# Replaces the warm interpreter by one that hashes strings in another order.
_RESEEDED = f"""
import os, sys
os.set_inheritable(RESULT_FD, True)
program = "RESULT_FD = %d\\n" % RESULT_FD + {_PROGRAM!r}
os.execve(sys.executable, [sys.executable, "-s", "-S", "-P", "-B", "-c", program],
          {{**os.environ, "PYTHONHASHSEED": "@seed@"}})
"""


@dataclass(frozen=True)
class Observed:
    """What the original did: the outcome of each call, the lines it ran, the most lines of any.

    Each line comes with 1 or 2, for once or more often. Lines run are counted, not seconds,
    so that the answer is the same on every machine.
    """

    outcomes: list[str]
    lines: list[frozenset[tuple[int, int]]]
    steps: int


def observe(sandbox: Sandbox, entry: str, text: str, first: int,
            calls: Sequence[str]) -> Observed | None:  # fmt: skip
    """Run one file's function on `calls` and watch its lines; None if the job did not end well.

    Line numbers count from 1 at line `first` of the file; lines above it are not reported.
    """
    answer = _ask(sandbox, entry, [text], calls, first=first)
    if answer is None or len(answer["lines"]) != len(calls):
        return None
    lines = [frozenset((n - first + 1, c) for n, c in seen) for seen in answer["lines"]]
    return Observed(answer["outcomes"][0], lines, answer["steps"])


def outcomes(sandbox: Sandbox, entry: str, texts: Sequence[str],
             calls: Sequence[str]) -> list[list[str]]:  # fmt: skip
    """Return, for each variant text of the whole file, the outcome of each call.

    A call is `timeout` after 200,000 lines of Python, and so are the calls after it. A job
    that a variant brings down is halved until that variant stands alone, with every line
    counted; if that fails too, its outcomes are all `timeout`.
    """
    if not texts:
        return []
    answer = _ask(sandbox, entry, texts, calls)
    if answer is None and len(texts) == 1:
        answer = _ask(sandbox, entry, texts, calls, counted=True)
        answer = answer or {"outcomes": [[TIMEOUT] * len(calls)]}
    if answer is not None:
        return list(answer["outcomes"])
    half = len(texts) // 2
    return [
        *outcomes(sandbox, entry, texts[:half], calls),
        *outcomes(sandbox, entry, texts[half:], calls),
    ]


def is_steady(sandbox: Sandbox, entry: str, text: str, calls: Sequence[str],
              expected: Sequence[str]) -> bool:  # fmt: skip
    """Tell whether outcomes stay the same in a new process with another order of hashing."""
    answer = _ask(sandbox, entry, [text], calls, seed=1)
    return answer is not None and answer["outcomes"] == [list(expected)]


def _ask(sandbox: Sandbox, entry: str, texts: Sequence[str], calls: Sequence[str], *,
         first: int = 0, seed: int = 0,
         counted: bool = False) -> dict[str, Any] | None:  # fmt: skip
    filename, _, name = entry.partition(":")
    request = {
        "variants": list(texts),
        "filename": filename,
        "name": name,
        "first": first,
        "calls": list(calls),
        "trace": first > 0,
        "counted": counted,
    }
    stdin = json.dumps(request).encode()
    program = _RESEEDED.replace("@seed@", str(seed)) if seed else _PROGRAM
    result = sandbox.run(Job(f"trial:{entry}", {}, program, stdin, _LIMITS, trusted=True))
    if result.status != "exited" or result.returncode != 0:
        return None
    try:
        answer = json.loads(result.result)
    except ValueError:
        return None
    return answer if isinstance(answer, dict) and "lines" in answer else None

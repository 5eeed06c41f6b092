"""The attempts of a soak: mostly what a student writes, and a few that try to break something.

Each ends in one way only, whatever else the machine does, so that two runs can be compared.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import NamedTuple

from toprope.terms import Task

# What stands in the place of the function asked for, or at the end of its file.
_BODIES = {
    "raises": "raise ValueError('no')",
    "loops": "while True: pass",
    "sleeps": "import time; time.sleep(600)",
}
_ENDS = {
    "fills the disk": """
import os
for _number in range(9_000):  # till there is neither space nor another file to be had
    try:
        with open(f"/tmp/{_number}", "wb", buffering=0) as _file:
            if _number < 20: _file.write(bytes(1 << 20))
    except OSError: pass
""",
    "floods": "import os\nwhile True: os.write(1, b'x' * 65536)",
    "leaves": "import os; os._exit(0)",
    "kills": """
import os, signal
for _target in (-1, 1, os.getppid()):
    for _number in (signal.SIGTERM, signal.SIGKILL):
        try: os.kill(_target, _number)
        except OSError: pass
""",
    "hoards": """
import os, time
for _ in range(9):
    if os.fork() == 0:
        _held = b'x' * (100 << 20)
        time.sleep(60)
time.sleep(60)
""",
    "bombs": """
import os, time
try:
    while True:
        if os.fork() == 0: time.sleep(60)
except OSError: raise SystemError("no more processes")
""",
    "stays": """
import os, signal, time
for _ in range(3):
    if os.fork() == 0:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if os.fork() == 0: time.sleep(600)
        os._exit(0)
    os.wait()
""",
    "forges": """import os; os.write(3, b'{"nonce": "0"}' + bytes([10]))""",
}
# How many of 1,000; the solution is the rest.
SHARES = {
    "unchanged": 180, "syntax": 130, "raises": 130, "loops": 8, "sleeps": 1,
    "fills the disk": 8, "floods": 5, "leaves": 8, "kills": 8, "hoards": 2, "bombs": 4,
    "stays": 8, "forges": 6, "elsewhere": 6,
}  # fmt: skip


class Attempt(NamedTuple):
    """Changes to one task, and what kind of an attempt they are."""

    kind: str
    task: Task
    changes: dict[str, str]


def attempt(seed: int, number: int, tasks: Sequence[Task]) -> Attempt:
    """Attempt `number` of a soak; no two are the same text."""
    draw = random.Random(f"{seed}/{number}")
    task = draw.choice(tasks)
    kinds = ["solution", *SHARES]
    kind = draw.choices(kinds, [1000 - sum(SHARES.values()), *SHARES.values()])[0]
    path, solved = next(iter(task.solution.items()))
    text = solved if kind in ("solution", *_ENDS) else task.start()[path]
    name = task.entry.partition(":")[2]
    if kind == "syntax":
        text += "\ndef (\n"
    elif kind in _BODIES:
        text += f"\ndef {name}(*_, **__):\n    {_BODIES[kind]}\n"
    text += _ENDS.get(kind, "")
    changes = {path: f"{text}\n# {number}\n"}
    return Attempt(kind, task, {"conftest.py": "", **changes} if kind == "elsewhere" else changes)

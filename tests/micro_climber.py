"""Runs a short micro climb in sittings that end by SIGKILL, for the tests of resuming.

Every sitting is a forked process, so that torch is imported once. A sitting is told where
to die: after the n-th return of a function ("toprope.climb.books:record#2"), after some
seconds of its own processor time ("1.25", the same moment on a busy machine), or nowhere
(""). Prints a JSON line per climb: what is left in its folder,
and how each sitting ended. "--" begins another climb, in a folder of its own. The variable
MICRO_SETTINGS holds further settings (`a.b=1`), with blanks between.

    python micro_climber.py FOLDER TASKSET STUDENT SITTING... [-- SITTING...]...
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

import micro_world
from toprope.climb.run import climb
from toprope.ledger.store import Ledger


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_after_return(point: str) -> None:
    """Let the n-th return of a function be this process's last act."""
    place, _, count = point.partition("#")
    module, _, path = place.partition(":")
    owner: Any = import_module(module)
    *outer, name = path.split(".")
    for part in outer:
        owner = getattr(owner, part)
    setattr(owner, name, counted(getattr(owner, name), int(count or 1)))


def counted(function: Callable[..., Any], left: int) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*given: Any, **named: Any) -> Any:
        nonlocal left
        result = function(*given, **named)
        left -= 1
        if left == 0:
            die()
        return result

    return wrapper


def sit(run: Path, tasks: Path, student: Path, end: str) -> dict[str, Any]:
    """Climb in a process of its own until it is done, or dies where it was told to."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        code = 70
        try:
            if end[:1].isdigit():
                # Its default action ends the process on the spot, as SIGKILL does.
                signal.signal(signal.SIGPROF, signal.SIG_DFL)
                signal.setitimer(signal.ITIMER_PROF, float(end))
            elif end:
                die_after_return(end)
            begun = time.process_time()
            overrides = os.environ.get("MICRO_SETTINGS", "").split()
            climb(micro_world.short_settings(tasks, student, *overrides), run)
            os.write(write, repr(time.process_time() - begun).encode())
            code = 0
        finally:
            os._exit(code)
    os.close(write)
    _, status = os.waitpid(child, 0)
    spent = os.read(read, 99)
    os.close(read)
    return {"end": end, "status": os.waitstatus_to_exitcode(status), "cpu_s": float(spent or 0)}


def left_in(run: Path) -> dict[str, Any]:
    """Return what two equal runs share, file by file."""
    with Ledger.open(run) as ledger:
        digest = ledger.digest()
    metrics = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    for row in metrics:
        for clock in ("seconds", "peak_rss_gb", "tokens_per_second"):
            del row[clock]
    checkpoints = {
        f"{file.parent.name}/{file.name}": hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(run.glob("checkpoints/*/*"))
    }
    episodes = {
        file.name: hashlib.sha256(gzip.decompress(file.read_bytes())).hexdigest()
        for file in sorted(run.glob("episodes/*.gz"))
    }
    return {
        "ledger": digest,
        "metrics": metrics,
        "checkpoints": checkpoints,
        "episodes": episodes,
        "strays": sorted(p.name for p in run.rglob(".*") if p.name != ".lock"),
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    folder, tasks, student = map(Path, sys.argv[1:4])
    for number, climb_ in enumerate(" ".join(sys.argv[4:]).split(" -- ")):
        run = folder / str(number)
        sittings = [sit(run, tasks, student, end) for end in climb_.split(" ")]
        print(json.dumps({"left": left_in(run), "sittings": sittings}), flush=True)

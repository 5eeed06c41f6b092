"""Runs `micro_climber.py` apart, for tests of what a kill leaves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import toprope

HERE = Path(__file__).parent
SOURCE = Path(toprope.__file__).parent.parent


def sit(
    folder: Path, tasks: Path, student: Path, *ends: str, settings: str = ""
) -> list[dict[str, Any]]:
    """Run climbs of `micro_climber.py`, which ends sittings by SIGKILL where it is told."""
    done = subprocess.run(
        [sys.executable, HERE / "micro_climber.py", folder, tasks, student, *ends],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(SOURCE), str(HERE)]),
            "OMP_NUM_THREADS": "1",
            "MICRO_SETTINGS": settings,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]

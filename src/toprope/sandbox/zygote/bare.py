"""A job without walls: the same program and limits in a plain process."""

from __future__ import annotations

import json
import sys
from typing import NoReturn

from . import payload, room


def main(result_fd: int, job: str) -> NoReturn:
    """Write the job's files here, bound this process, and run the program."""
    with open(job, encoding="ascii") as file:
        spec = json.load(file)
    room.write_files(spec["files"])
    if sys.platform.startswith("linux"):
        room.set_rlimits(spec["limits"], None)
    payload.run(spec["program"], result_fd)

"""A job without walls: the same program and limits in a plain process."""

from __future__ import annotations

import json
import math
import sys
from typing import NoReturn

from . import files, payload, room


def main(result_fd: int, job: str) -> NoReturn:
    """Write the job's files here, bound this process, and run the program."""
    with open(job, encoding="ascii") as file:
        spec = json.load(file)
    files.write_files(spec["files"])
    if sys.platform.startswith("linux"):
        room.set_rlimits(spec["limits"], None)
    room.begin(math.ceil(spec["limits"]["cpu_s"]))
    payload.run(spec["program"], result_fd)

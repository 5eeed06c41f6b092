"""The start of a grading job: reads what is asked, has the tests run, writes one record."""

from __future__ import annotations

import json
import os
import sys
from typing import Any, NoReturn

from . import plain, with_pytest


def main(result_fd: int) -> NoReturn:
    """Answer the request on standard input with exactly one record, and leave."""
    run(json.loads(sys.stdin.buffer.read()), result_fd)


def run(request: dict[str, Any], result_fd: int) -> NoReturn:
    """Run the request's tests by the runner it names, and leave."""
    owner = os.getpid()
    for folder in reversed(request["imports"]):
        sys.path.insert(0, os.path.join(os.getcwd(), folder) if folder else os.getcwd())
    os.environ["PYTHONPATH"] = os.pathsep.join(sys.path[: len(request["imports"])])

    def tell(fields: dict[str, Any]) -> NoReturn:
        if os.getpid() != owner:  # a test's fork that came back
            os._exit(0)
        data = json.dumps({"nonce": request["nonce"], **fields}).encode("ascii") + b"\n"
        sys.stdout.flush()
        while data:
            data = data[os.write(result_fd, data) :]
        os._exit(0)

    runner = plain if request["plain"] is not None else with_pytest
    runner.run(request, tell)
    os._exit(1)

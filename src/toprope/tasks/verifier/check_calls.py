"""Makes the calls of a task in another process and compares what came out.

Lies beside `calls.json` and `runner.py` in the `tests` folder of a Harbor task, whose files
are the working directory. Ends with code 0 if every required call has its expected outcome.
Expected outcomes never enter the process that runs an attempt.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
WALL_S = 60.0
CALL_S = 2.0
NEVER_EQUAL = ("opaque", "timeout", "unrun", "error:")
BOOT = (
    "import sys\n"
    "code = compile(open(sys.argv[1], 'rb').read(), 'runner', 'exec')\n"
    "exec(code, {'__name__': '__main__', 'RESULT_FD': int(sys.argv[2])})\n"
)


def ask(entry: str, calls: list[list[str]]) -> dict[str, str]:
    """Return the outcome of each call; empty if there was no honest record of them."""
    nonce = secrets.token_hex(16)
    request = {"nonce": nonce, "entry": entry, "calls": calls, "call_s": CALL_S, "timeouts": 1}
    record = _read(_run(json.dumps(request).encode("ascii")))
    if record.get("nonce") != nonce or record.get("error"):
        print(f"no outcomes: {record.get('error', 'the process ended without a record')}")
        return {}
    return dict(record["outcomes"])


def _run(request: bytes) -> bytes:
    ours, theirs = os.pipe()
    command = [sys.executable, "-c", BOOT, str(HERE / "runner.py"), str(theirs)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, pass_fds=[theirs], start_new_session=True
    )
    os.close(theirs)
    alarm = threading.Timer(WALL_S, os.killpg, [process.pid, signal.SIGKILL])
    alarm.start()
    try:
        process.communicate(request)
        with open(ours, "rb") as pipe:
            return pipe.read()
    finally:
        alarm.cancel()


def _read(data: bytes) -> dict[str, Any]:
    try:
        record = json.loads(data)
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}


def main() -> int:
    """Say which required calls differ, and return the exit code."""
    task = json.loads((HERE / "calls.json").read_text("ascii"))
    outcomes = ask(task["entry"], [[call["id"], call["args"]] for call in task["calls"]])
    expected = {call["id"]: call["expect"] for call in task["calls"]}
    failed = [
        name
        for name in task["required"]
        if outcomes.get(name) != expected[name] or expected[name].startswith(NEVER_EQUAL)
    ]
    print(f"{len(task['required']) - len(failed)} of {len(task['required'])} calls pass")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

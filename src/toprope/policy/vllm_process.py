"""Keeps a vLLM server and all its processes no longer than its own input stays open.

Runs as a file of its own in any Python, standard library only: COMMAND are the program and
arguments of the server. When the input ends, however the parent died, or the server does,
every process of the group is ended. It knows nothing of what is served.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

GRACE_S = 3.0


def main() -> None:
    """Run the server as a group of its own until the input or the server ends."""
    if os.getpgrp() != os.getpid():
        os.setpgrp()
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)  # of the group's; the input tells us when to end
    server = subprocess.Popen(
        sys.argv[1:], stdin=subprocess.DEVNULL, restore_signals=True, preexec_fn=_heeding
    )
    ended = threading.Event()
    threading.Thread(target=_until_it_ends, args=(ended,), daemon=True).start()
    while not ended.wait(0.1) and server.poll() is None:
        pass
    status = server.poll()
    os.killpg(0, signal.SIGTERM)
    until = time.monotonic() + GRACE_S
    while server.poll() is None and time.monotonic() < until:
        time.sleep(0.05)
    if status is not None:
        print(f"the server ended with status {status}", file=sys.stderr, flush=True)
    os.killpg(0, signal.SIGKILL)  # its workers and this process too


def _until_it_ends(ended: threading.Event) -> None:
    sys.stdin.buffer.read()
    ended.set()


def _heeding() -> None:
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_DFL)


if __name__ == "__main__":
    main()

"""Opening a session in a test, and looking at its processes from outside."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from pathlib import Path

import pytest

from toprope.sandbox import Limits, NotAFile, Sandbox, Session, SessionEnded, Start
from toprope.tasks import make_tree
from toprope.terms import Environment

ENVIRONMENTS = {
    "tools": Environment(tools=True),
    "pytest": Environment(python=sys.executable, tools=True, warm=("pytest",)),
}
TREE = make_tree({"pkg/a.py": "A = 1\n", "pkg/b.py": "B = 1\n", "old.py": "1\n", "raw": "\udcff"})


def begin(sandbox: Sandbox, files: dict[str, str] | None = None, **more: object) -> Session:
    more.setdefault("environment", "tools")
    limits = Limits(**more.pop("limits", {}))  # type: ignore[arg-type]
    return sandbox.open(Start("s", files or {}, limits=limits, **more))  # type: ignore[arg-type]


def said(session: Session, command: str, seconds: float = 10) -> str:
    result = session.run(command, seconds)
    assert result.status == "exited", result
    return result.stdout.decode()


def await_end(session: Session, why: str) -> None:
    """Ask until the session has ended, which it must soon and for this reason."""

    def ask() -> None:
        for _ in range(200):
            time.sleep(0.1)
            with contextlib.suppress(NotAFile):
                session.read("nothing")

    with pytest.raises(SessionEnded, match=why):
        ask()


def worker_of(session: Session) -> int:
    guard = session._worker.process.pid  # type: ignore[attr-defined]
    return int(Path(f"/proc/{guard}/task/{guard}/children").read_text())


def children_of(pid: int) -> list[int]:
    return [int(number) for number in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def processes_of(session: Session) -> int:
    time.sleep(0.25)  # for the first process to take leave of what has ended
    pending, found = children_of(worker_of(session)), 0
    while pending:
        pending += children_of(pending.pop())
        found += 1
    return found


def traces_of(worker: int) -> dict[str, int]:
    return {
        "mounts": len(Path(f"/proc/{worker}/mountinfo").read_text().splitlines()),
        "descriptors": len(os.listdir(f"/proc/{worker}/fd")),
    }

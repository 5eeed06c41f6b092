"""Sessions and untrusted code: what it cannot reach, take or leave behind."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from sandbox_as_user import opened_by
from session_parts import (
    ENVIRONMENTS,
    TREE,
    await_end,
    begin,
    children_of,
    processes_of,
    said,
    traces_of,
    worker_of,
)
from toprope.sandbox import Job, NotAFile, Sandbox, open_sandbox


@pytest.fixture(scope="module")
def sandbox(owner: str) -> Iterator[Sandbox]:
    with opened_by(owner, workers=2, environments=ENVIRONMENTS) as opened:
        yield opened


LOOK = """
import os
found = []
for pid in range(1, 400):
    try:
        os.kill(pid, 0)
        found.append("me" if pid == os.getpid() else pid)
    except OSError:
        pass
print(found)
"""


def test_two_sessions_do_not_see_each_other(sandbox: Sandbox) -> None:
    with begin(sandbox) as one, begin(sandbox) as two:
        one.run("echo secret > file; echo secret > /tmp/file; (exec -a spy sleep 50) &", 5)
        assert said(two, "ls; ls /tmp; kill -0 -1 2>&1 || true").count("file") == 0
        assert two.python(LOOK, b"", 5).stdout == b"[1, 'me']\n"


def test_a_timed_out_command_is_killed_whatever_groups_it_made(sandbox: Sandbox) -> None:
    with begin(sandbox) as session:
        late = session.run("setsid sleep 61 & timeout 62 sleep 63 & setsid -w sleep 64", 0.3)
        assert late.status == "timeout"
        assert processes_of(session) == 1, "only the room's first process is left"


@pytest.mark.parametrize("background", [False, True])
def test_processor_time_is_bounded_for_all_that_runs(sandbox: Sandbox, background: bool) -> None:
    spin = "for i in 1 2 3 4; do (while :; do :; done) & done"
    with begin(sandbox, limits={"cpu_s": 1}) as session:
        if not background:
            result = session.run(f"{spin}; wait", 60)
            assert (result.status, result.why) == (
                "timeout",
                "used more than 1 s of processor time",
            )
            assert said(session, "echo on") == "on\n"
            return
        session.run(spin, 5)
        await_end(session, r"used more than 1 s of processor time between commands")


@pytest.mark.parametrize("background", [False, True])
def test_a_fork_bomb_ends_the_session_with_the_reason(sandbox: Sandbox, background: bool) -> None:
    bomb = "bomb() { bomb | bomb & }; bomb"
    with begin(sandbox) as session:
        result = session.run(bomb if background else f"{bomb}; sleep 20", 20)
        if not background:
            assert (result.status, result.why) == ("limit", "more than 16 processes")
        await_end(session, "more than 16 processes")
    with begin(sandbox) as session:
        assert said(session, "echo on") == "on\n"


def test_threads_that_take_every_process_end_the_session(sandbox: Sandbox) -> None:
    program = """
import os, threading, time
if os.fork() == 0:
    while True:
        try: threading.Thread(target=time.sleep, args=(60,)).start()
        except RuntimeError: time.sleep(0.01)
time.sleep(0.5)
"""
    with begin(sandbox) as session:
        session.python(program, b"", 5)
        time.sleep(0.1)
        assert session.run("true", 5).why == "more than 16 processes"
        await_end(session, "more than 16 processes")


def test_a_memory_hog_in_the_background_ends_the_session(sandbox: Sandbox) -> None:
    hog = """
import os, time
for _ in range(6):
    if os.fork() == 0:
        held = b"x" * (60 << 20)
        time.sleep(60)
"""
    with begin(sandbox, limits={"memory_mb": 128}) as session:
        session.python(hog, b"", 5)
        await_end(session, "more than 128 MB of memory")


def test_a_full_disk_is_the_commands_error_and_ends_nothing(sandbox: Sandbox) -> None:
    with begin(sandbox, limits={"disk_mb": 2}) as session:
        full = session.run("head -c 1500000 /dev/zero > a; head -c 1500000 /dev/zero > b", 5)
        assert b"No space left" in full.stdout
        with pytest.raises(NotAFile, match="No space left"):
            session.write("c", "x" * (1 << 20))
        assert said(session, "rm a b; echo on") == "on\n"


HOSTILE = """
import ctypes, errno, fcntl, json, os, resource, signal, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
def error(action, *arguments):
    try:
        action(*arguments)
    except OSError as problem:
        return errno.errorcode[problem.errno]
    return "done"
def descriptors():
    return [fd for fd in range(3, 200) if error(os.fstat, fd) == "done"]
for number in signal.valid_signals():
    error(os.kill, 1, number)
# An answer as the room's first process gives it, on whatever can be written to.
for fd in range(0, 200):
    error(os.write, fd, b"P9\\nW0")
mine = [fd for fd in descriptors() if fd != RESULT]
sys.stderr.write("\\n" + json.dumps({
    "descriptors": mine,
    "ptrace": libc.ptrace(16, 1, 0, 0),
    "getfd": libc.syscall(438, libc.syscall(434, 1, 0), 5, 0),
    "memory": error(open, "/proc/1/mem"),
    "limits": error(resource.prlimit, 1, resource.RLIMIT_NOFILE, (0, 0)),
    "parent alive": error(os.kill, 1, 0),
}) + "\\n")
sys.exit(5)
"""


@pytest.mark.parametrize("by", ["command", "program"])
def test_untrusted_code_reaches_neither_the_pipe_nor_the_first_process(
    sandbox: Sandbox, by: str
) -> None:
    limits = {"descriptors": 256}
    with begin(sandbox, environment="pytest", limits=limits) as session:
        if by == "command":
            session.write("hostile.py", "RESULT = -1\n" + HOSTILE)
            result = session.run("python3 hostile.py", 10)
        else:
            result = session.python("RESULT = RESULT_FD\n" + HOSTILE, b"", 10)
        assert (result.status, result.returncode) == ("exited", 5), result
        seen = json.loads(result.stdout.splitlines()[-1])
        assert seen == {
            "descriptors": [],
            "ptrace": -1,
            "getfd": -1,
            "memory": "ENOENT",
            "limits": "EPERM",
            "parent alive": "done",
        }
        assert said(session, "echo on") == "on\n"


def test_killing_everything_in_reach_leaves_the_session(sandbox: Sandbox) -> None:
    with begin(sandbox) as session:
        session.run("sleep 60 &", 5)
        assert session.run("kill -9 -1", 5).status in ("exited", "signalled")
        assert said(session, "echo on") == "on\n"
        assert processes_of(session) == 1


def test_nothing_is_left_of_many_sessions() -> None:
    with open_sandbox(environments=ENVIRONMENTS) as sandbox:  # type: ignore[attr-defined]
        with begin(sandbox) as session:
            worker = worker_of(session)
        before = traces_of(worker)
        for number in range(50):
            with begin(sandbox, {"f": "1"}, tree=TREE) as session:
                assert worker_of(session) == worker, "one worker serves them all"
                session.run("sleep 60 & setsid sleep 61 &" if number % 10 == 0 else "true", 5)
        assert children_of(worker) == []
        after = traces_of(worker)
        assert (after["mounts"], after["descriptors"]) == (
            before["mounts"], before["descriptors"]
        )  # fmt: skip
        assert sandbox.run(Job("j", {}, "print(1)", environment="tools")).stdout == b"1\n"

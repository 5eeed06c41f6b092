"""The same sessions, honest and hostile, where namespaces are forbidden."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

import test_sandbox_sessions
import test_sandbox_sessions_hostile
from landlock_parts import landlock
from sandbox_as_user import opened_by
from session_parts import TREE, await_end, begin, processes_of, said, traces_of, worker_of
from toprope.sandbox import NotAFile, Sandbox
from toprope.terms import Environment

ENVIRONMENTS = {"tools": Environment(tools=True)}
# They get another answer here, and have their own test below, or look at the other wall.
ANSWERED_OTHERWISE = {
    "test_two_sessions_do_not_see_each_other": "numbers of processes can be guessed",
    "test_threads_that_take_every_process_end_the_session": "the watchdog counts threads",
    "test_a_full_disk_is_the_commands_error_and_ends_nothing": "a watchdog bounds the disk",
    "test_untrusted_code_reaches_neither_the_pipe_nor_the_first_process": "it is no pid 1",
    "test_killing_everything_in_reach_leaves_the_session": "kill -1 is refused",
    "test_nothing_is_left_of_many_sessions": "it opens its own sandbox",
    "test_tests_run_by_command_and_by_program": "this Python may be closed to the jobs' user",
    "test_a_closed_sandbox_opens_no_session": "it opens its own sandbox",
    "test_a_lost_worker_is_an_error_and_its_slot_is_filled_again": "it opens its own sandbox",
    "test_a_session_dies_with_a_request_that_was_given_up": "it opens its own sandbox",
}
globals().update(
    {
        name: test
        for module in (test_sandbox_sessions, test_sandbox_sessions_hostile)
        for name, test in vars(module).items()
        if name.startswith("test_") and name not in ANSWERED_OTHERWISE
    }
)


@pytest.fixture(scope="module")
def sandbox(owner: str) -> Iterator[Sandbox]:
    if owner == "root":
        with landlock(workers=2, environments=ENVIRONMENTS) as opened:
            yield opened
    else:
        with opened_by(owner, workers=2, environments=ENVIRONMENTS, level="landlock") as users:
            yield users


@pytest.fixture(scope="module")
def either() -> Iterator[Sandbox]:
    with landlock(workers=2, environments=ENVIRONMENTS) as opened:
        yield opened


# `pid` and `place` are another's; the parent is the room's first process.
REACH = """
import ctypes, errno, json, os, resource, signal, sys
libc = ctypes.CDLL(None, use_errno=True)
def error(action, *arguments):
    try:
        action(*arguments)
    except OSError as problem:
        return errno.errorcode[problem.errno]
    return "done"
seen = [error(os.kill, other, number) for other in OTHERS for number in (0, 9, 15, 19)]
seen += [error(os.killpg, other, 9) for other in OTHERS]
seen += [error(resource.prlimit, other, resource.RLIMIT_CPU, (0, 0)) for other in OTHERS]
seen += [error(open, f"/proc/{other}/mem") for other in OTHERS]
seen += [libc.ptrace(16, other, 0, 0) for other in OTHERS]
seen += [libc.syscall(438, libc.syscall(434, other, 0), 5, 0) for other in OTHERS]
seen += [error(open, path) for path in PLACES] + [error(os.listdir, PLACES[0])]
json.dump(sorted(set(map(str, seen))), sys.stdout)
"""
REFUSED = {"EPERM", "EACCES", "ESRCH", "-1"}


def test_one_session_reaches_neither_another_nor_its_first_process(sandbox: Sandbox) -> None:
    with begin(sandbox) as one, begin(sandbox) as two:
        one.write("file", "secret")
        pid = int(said(one, "sleep 50 & echo $!"))
        place = said(one, "pwd").strip()
        given = f"import os\nOTHERS = [{pid}, os.getppid(), {worker_of(one)}]\n"
        given += f"PLACES = [{place!r}, {place + '/file'!r}]\n"
        two.write("reach.py", given + REACH)
        by_program = two.python(given + REACH, b"", 10)
        assert set(json.loads(by_program.stdout)) <= REFUSED
        # A command of two levels: its parent is the shell, whom it may signal.
        assert set(json.loads(said(two, "exec python3 reach.py"))) <= REFUSED
        assert said(one, f"kill -0 {pid} && echo alive") == "alive\n"
        assert said(two, "echo on") == "on\n"


def test_a_later_command_may_signal_an_earlier_one_but_not_everything(sandbox: Sandbox) -> None:
    with begin(sandbox) as session:
        pid = int(said(session, "sleep 60 & echo $!"))
        assert b"not permitted" in session.run("kill -9 -1; kill -9 $PPID", 5).stdout
        assert said(session, f"kill -0 {pid} && echo alive") == "alive\n"
        said(session, f"kill -9 {pid}")
        assert processes_of(session) == 1, "only the room's first process is left"


FORGE = """
import errno, json, os, sys
def there(fd):
    try:
        os.fstat(fd)
        return True
    except OSError:
        return False
for fd in range(200):
    try:
        os.write(fd, b"P9\\nW0")
    except OSError:
        pass
found = [fd for fd in range(3, 200) if there(fd) and fd != RESULT]
sys.stderr.write("\\n" + json.dumps(found) + "\\n")
sys.exit(5)
"""


@pytest.mark.parametrize("by", ["command", "program"])
def test_no_answer_can_be_forged(sandbox: Sandbox, by: str) -> None:
    with begin(sandbox, limits={"descriptors": 256}) as session:
        session.run("sleep 50 &", 5)  # its petitions are another descriptor of the first process
        if by == "command":
            session.write("forge.py", "RESULT = -1\n" + FORGE)
            result = session.run("python3 forge.py", 10)
        else:
            result = session.python("RESULT = RESULT_FD\n" + FORGE, b"", 10)
        assert (result.status, result.returncode) == ("exited", 5), result
        assert json.loads(result.stdout.splitlines()[-1]) == []


def test_threads_end_the_session_too(sandbox: Sandbox) -> None:
    program = """
import os, threading, time
if os.fork() == 0:
    while True:
        try: threading.Thread(target=time.sleep, args=(60,)).start()
        except RuntimeError: time.sleep(0.01)
"""
    with begin(sandbox) as session:
        session.python(program, b"", 5)
        await_end(session, "more than 16 processes")


def test_a_full_disk_ends_the_session_unless_it_is_we_who_write(sandbox: Sandbox) -> None:
    large = "x" * (3 << 19)
    with begin(sandbox, limits={"disk_mb": 2}) as session:
        session.write("a", large)
        with pytest.raises(NotAFile, match="No space left"):
            session.write("b", large)
        session.write("a", large.upper())  # what is replaced does not count twice
        assert said(session, "head -c 3 a") == "XXX"
        full = session.run("head -c 1000000 /dev/zero > b", 5)
        assert (full.status, full.why) == ("limit", "more than 2 MB of files")
        await_end(session, "more than 2 MB of files")


def test_petitions_of_the_background_are_answered_between_commands(sandbox: Sandbox) -> None:
    with begin(sandbox, {"file": "1"}) as session:
        session.run("(sleep 0.2; chmod 751 file; chmod 777 /etc; echo $? > done) &", 5)
        deadline = time.monotonic() + 20
        while "done" not in session.changed() and time.monotonic() < deadline:
            time.sleep(0.1)
        assert said(session, "stat -c %a file; cat done") == "751\n1\n"


def test_a_session_that_removes_its_own_folders_goes_on(sandbox: Sandbox) -> None:
    with begin(sandbox) as session:
        said(session, 'rm -r "$TMPDIR"; ln -s /etc "$TMPDIR"')
        echo = "import sys; print(sys.stdin.read())"
        assert session.python(echo, b"heard", 5).stdout == b"heard\n"


def test_a_shell_needs_tools(sandbox: Sandbox) -> None:
    with begin(sandbox, environment="") as session:
        result = session.run("true", 5)
        assert (result.returncode, b"no shell" in result.stdout) == (127, True)


def test_nothing_is_left_of_many_sessions_and_jobs_between(either: Sandbox) -> None:
    with begin(either) as session:
        worker = worker_of(session)
    before = traces_of(worker)["descriptors"]
    for number in range(20):
        with begin(either, {"f": "1"}, tree=TREE) as session:
            assert said(session, "ls -A . $TMPDIR/..").count("left") == 0
            assert session.changed() == {}
            session.run(
                "mkdir left; sleep 60 & setsid sleep 61 &" if number % 5 == 0 else "true", 5
            )
    assert traces_of(worker)["descriptors"] == before

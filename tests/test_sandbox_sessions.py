"""A room that stays: what lasts from one command to the next, and what does not."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from session_parts import ENVIRONMENTS, TREE, begin, said, worker_of
from toprope.sandbox import (
    Job,
    NotAFile,
    Sandbox,
    SandboxError,
    SessionEnded,
    Start,
    TooMuchChanged,
    UnknownEnvironment,
    WorkerDied,
    open_sandbox,
)


@pytest.fixture(scope="module", params=["namespaces", "unsafe-local"])
def either(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    unsafe = request.param == "unsafe-local"
    opened = open_sandbox(workers=2, unsafe_local=unsafe, environments=ENVIRONMENTS)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    opened = open_sandbox(workers=2, environments=ENVIRONMENTS)
    yield opened
    opened.close()


def test_files_persist_between_commands_but_cd_and_exports_do_not(either: Sandbox) -> None:
    with begin(either, {"sub/given.txt": "here\n"}) as session:
        assert said(session, "cd sub; cat given.txt; export X=1; echo new > made.txt") == "here\n"
        assert said(session, "cat sub/made.txt; echo ${X:-unset}") == "new\nunset\n"


def test_the_ending_of_a_command_is_told(either: Sandbox) -> None:
    with begin(either) as session:
        failed = session.run("echo out; echo err >&2; exit 3", 10)
        assert (failed.status, failed.returncode) == ("exited", 3)
        assert failed.stdout == b"out\nerr\n"
        killed = session.run("kill -9 $$", 10)
        assert (killed.status, killed.returncode) == ("signalled", -9)
        assert said(session, "yes | head -1; cat") == "y\n", "pipes break, and input is empty"


def test_a_background_process_lives_until_the_session_is_closed(either: Sandbox) -> None:
    server = "while true; do echo beat; echo . >> beats; sleep 0.02; done"
    session = begin(either)
    folder = getattr(session, "_folder", None)
    try:
        session.run(f"{server} &", 5)
        before = len(session.read("beats") if said(session, "sleep 0.2") == "" else "")
        assert said(session, "sleep 0.2; echo next") == "next\n", "its output is not ours"
        assert len(session.read("beats")) > before > 0
    finally:
        session.close()
    assert folder is None or not os.path.exists(folder)


@pytest.mark.parametrize("command", ["sleep 60", "sleep 60; echo", "while :; do :; done"])
def test_a_timeout_ends_the_command_and_not_the_session(either: Sandbox, command: str) -> None:
    with begin(either, limits={"cpu_s": 60}) as session:
        session.run("(while true; do echo >> beats; sleep 0.02; done) &", 5)
        late = session.run(f"echo begun; {command}", 0.3)
        assert (late.status, late.why) == ("timeout", "still running after 0.3 s")
        assert late.stdout == b"begun\n"
        before = len(session.read("beats"))
        said(session, "sleep 0.2")
        assert len(session.read("beats")) > before, "an earlier command's server was left alone"


def test_long_output_keeps_its_head_and_its_tail(either: Sandbox) -> None:
    with begin(either, limits={"output_bytes": 1000}) as session:
        result = session.run("echo first; head -c 100000 /dev/zero | tr '\\0' x; echo last", 10)
        assert (result.status, result.returncode) == ("exited", 0)
        line = b"\n[... 99011 bytes left out ...]\n"
        assert result.stdout == b"first\n" + b"x" * 494 + line + b"x" * 495 + b"last\n"
        assert session.run("head -c 1000 /dev/zero", 10).stdout == bytes(1000)


def test_a_program_of_ours_runs_in_the_same_workspace(either: Sandbox) -> None:
    program = """
import os, sys
import mine
os.write(RESULT_FD, repr([mine.X, sys.stdin.read(), __name__]).encode())
open("by_program", "w").write("1")
print("printed")
"""
    with begin(either) as session:
        session.run("echo 'X = 5' > mine.py", 5)
        done = session.python(program, "näme".encode(), 5)
        assert done.result == repr([5, "näme", "__main__"]).encode(), done
        assert (done.stdout, done.why) == (b"printed\n", "exited with 0")
        assert said(session, "cat by_program") == "1"
        assert session.python("import sys; sys.exit(3)", b"", 5).returncode == 3
        assert b"SyntaxError" in session.python("is not python", b"", 5).stdout
        late = session.python("import time; time.sleep(60)", b"", 0.2)
        assert late.status == "timeout"
        loud = session.python("import os\nwhile True: os.write(RESULT_FD, b'x' * 9999)", b"", 5)
        assert (loud.status, loud.why) == ("limit", "more than 1048576 bytes of result")
        assert said(session, "echo on") == "on\n"


def test_text_goes_in_and_comes_out_as_it_was(either: Sandbox) -> None:
    with begin(either) as session:
        session.write("a/b/c.txt", "é\r\n\udcff")
        assert session.read("./a//b/c.txt") == "é\r\n\udcff"
        session.write("a/b/c.txt", "short")
        assert said(session, "cat a/b/c.txt; stat -c %s a/b/c.txt") == "short5\n"


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/etc/passwd", "leaves the workspace"),
        ("../x", "leaves the workspace"),
        ("sub/../../x", "leaves the workspace"),
        ("link", "symbolic link"),
        ("out/passwd", "not a folder"),
        ("sub/link", "symbolic link"),
        ("fifo", "not a regular file"),
        ("socket", "not a regular file"),
        ("sub", "is a folder"),
        ("", "names no file"),
        (".", "names no file"),
        ("a\0b", "names no file"),
        ("\ud800", "names no file"),
        ("x" * 300, "too long"),
        ("plain/x", "not a folder"),
    ],
)
def test_what_is_no_file_of_the_workspace_is_refused(either: Sandbox, path: str, why: str) -> None:
    make = """
import os, socket
os.mkdir("sub"); os.mkfifo("fifo")
try: socket.socket(1).bind("socket")
except PermissionError: os.mkfifo("socket")  # behind Landlock no socket can be made
os.symlink("/etc/passwd", "link"); os.symlink("/etc", "out"); os.symlink("../plain", "sub/link")
open("plain", "w").write("kept")
"""
    with begin(either) as session:
        assert session.python(make, b"", 5).returncode == 0
        with pytest.raises(NotAFile, match=why):
            session.read(path)
        with pytest.raises(NotAFile, match=why):
            session.write(path, "overwritten")
        assert session.read("plain") == "kept"


def test_absent_secret_and_huge_files_are_refused_too(either: Sandbox) -> None:
    with begin(either, limits={"output_bytes": 1000, "disk_mb": 2}) as session:
        session.run("head -c 1001 /dev/zero > huge; head -c 1000 /dev/zero > large", 5)
        with pytest.raises(NotAFile, match="huge is larger than 1000 bytes"):
            session.read("huge")
        assert len(session.read("large")) == 1000
        with pytest.raises(NotAFile, match="absent cannot be used: No such file"):
            session.read("absent")


def test_changed_is_exact_on_files_and_a_tree(either: Sandbox) -> None:
    with begin(either, {"new/x.py": "1\n", "same.py": "2\n"}, tree=TREE, removed=("old.py",)) as s:
        assert s.changed() == {}
        s.run("echo 'A = 2' > pkg/a.py; touch pkg/b.py; cp raw raw2; rm new/x.py", 5)
        s.run("echo 2 > same.py; mkdir empty; ln -s raw link; mkfifo fifo; chmod +x raw", 5)
        expected = {"new/x.py": None, "pkg/a.py": "A = 2\n", "raw2": "\udcff"}
        assert s.changed() == expected
        s.run("rm -r pkg; ln -s /etc pkg; rm same.py; mkfifo same.py; echo 1 > old.py", 5)
        gone = dict.fromkeys(("new/x.py", "pkg/a.py", "pkg/b.py", "same.py"))
        assert s.changed() == {**gone, "raw2": "\udcff", "old.py": "1\n"}
    with begin(either, tree=TREE) as s:
        assert s.changed() == {}, "the tree is as it was"


def test_more_changes_than_are_told_are_an_error(either: Sandbox) -> None:
    with begin(either, limits={"disk_mb": 40}) as session:
        session.run("head -c 17000000 /dev/zero > large", 5)
        with pytest.raises(TooMuchChanged, match="more than 16 MB"):
            session.changed()
        session.run("rm large", 5)
        assert session.changed() == {}


def test_a_closed_session_says_so_and_closes_twice(either: Sandbox) -> None:
    session = begin(either)
    session.close()
    session.close()
    uses: list[Callable[[], object]] = [
        lambda: session.run("true", 1),
        lambda: session.python("pass", b"", 1),
        lambda: session.read("x"),
        lambda: session.write("x", ""),
        session.changed,
    ]
    for use in uses:
        with pytest.raises(SessionEnded, match="it was closed; open another"):
            use()


def test_sessions_and_jobs_share_the_workers(either: Sandbox) -> None:
    first = begin(either, {"mine": "1"})
    assert either.run(Job("j", {}, "import os\nos.write(RESULT_FD, b'beside')")).result == b"beside"
    second = begin(either)
    assert said(second, "ls; ls ${TMPDIR:-/tmp} | grep -c planted || true") == "0\n"
    waiting = threading.Thread(target=either.run, args=(Job("w", {}, "pass"),))
    waiting.start()
    waiting.join(0.3)
    assert waiting.is_alive(), "both slots are held"
    first.close()
    waiting.join(10)
    assert not waiting.is_alive()
    second.close()


def test_a_session_that_cannot_begin_says_why(either: Sandbox) -> None:
    with pytest.raises(SessionEnded, match="files of more than 1 MB"):
        begin(either, {"big": "x" * (2 << 20)}, limits={"disk_mb": 1})
    with pytest.raises(UnknownEnvironment):
        begin(either, environment="other")
    with begin(either) as one, begin(either) as two:
        assert said(one, "echo 1") + said(two, "echo 2") == "1\n2\n", "no slot was lost"


def test_a_closed_sandbox_opens_no_session() -> None:
    for unsafe in (False, True):
        closed = open_sandbox(unsafe_local=unsafe)
        closed.close()
        with pytest.raises(SandboxError, match="closed"):
            closed.open(Start("s"))


def test_tests_run_by_command_and_by_program(sandbox: Sandbox) -> None:
    files = {
        "calc.py": "def add(a, b):\n    return a - b\n",
        "tests/test_calc.py": "from calc import add\ndef test_add(): assert add(1, 2) == 3\n",
    }
    command = "python -m pytest -q -p no:cacheprovider tests"
    program = "import pytest, sys\nsys.exit(pytest.main(['-q', '-p', 'no:cacheprovider', 'tests']))"
    limits = {"cpu_s": 30, "processes": 40, "descriptors": 256}
    with begin(sandbox, files, environment="pytest", limits=limits) as session:
        assert "1 failed" in said(session, command, 60)
        failed = session.python(program, b"", 60)
        assert (failed.returncode, b"1 failed" in failed.stdout) == (1, True), failed
        fixed = session.read("calc.py").replace("-", "+")
        session.write("calc.py", fixed)
        assert "1 passed" in said(session, command, 60)
        assert b"1 passed" in session.python(program, b"", 60).stdout
        assert session.changed() == {"calc.py": fixed}


def test_a_bare_environment_has_no_shell_and_says_so(sandbox: Sandbox) -> None:
    with begin(sandbox, environment="") as session:
        result = session.run("true", 5)
        assert (result.returncode, b"no shell" in result.stdout) == (127, True)
        assert session.python("print(1)", b"", 5).stdout == b"1\n"


def test_commands_that_no_system_takes_are_the_commands_error(sandbox: Sandbox) -> None:
    with begin(sandbox) as session:
        for command in ("echo \0", "echo " + "x" * 200_000):
            result = session.run(command, 5)
            assert (result.status, result.returncode) == ("exited", 126)
            assert b"cannot be started" in result.stdout
        assert said(session, "printf '\udcff\\n' | od -An -tx1") == " ff 0a\n"


def test_a_lost_worker_is_an_error_and_its_slot_is_filled_again() -> None:
    with open_sandbox(environments=ENVIRONMENTS) as sandbox:  # type: ignore[attr-defined]
        session = begin(sandbox)
        os.kill(worker_of(session), signal.SIGKILL)
        with pytest.raises(WorkerDied, match="session s"):
            session.run("true", 5)
        with pytest.raises(SessionEnded, match="its worker was lost"):
            session.changed()
        session.close()
        with begin(sandbox) as other:
            assert said(other, "echo on") == "on\n"


def test_a_session_dies_with_a_request_that_was_given_up() -> None:
    with open_sandbox(environments=ENVIRONMENTS) as sandbox:  # type: ignore[attr-defined]
        session = begin(sandbox)
        session._worker.sock.close()  # type: ignore[attr-defined]
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline and session._worker.process.poll() is None:  # type: ignore[attr-defined]
            time.sleep(0.02)
        assert session._worker.process.poll() is not None  # type: ignore[attr-defined]

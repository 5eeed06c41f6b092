"""The host's files and processes, as untrusted code may try to reach them."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox_as_user import opened_by
from session_parts import ENVIRONMENTS, begin
from test_sandbox_hostile import TELL, run, told
from toprope.sandbox import NotAFile, Sandbox


@pytest.fixture(scope="module")
def sandbox(owner: str) -> Iterator[Sandbox]:
    with opened_by(owner, workers=1, environments=ENVIRONMENTS) as opened:
        yield opened


def test_not_one_of_all_paths_in_sight_can_be_written(sandbox: Sandbox) -> None:
    program = """
written, tried, end = [], 0, time.monotonic() + 20  # on a busy machine, a part of them
def attempt(path, action, *arguments):
    global tried
    tried += 1
    if error(action, *arguments) == "done":
        written.append(path)
for folder, _, names in os.walk("/"):
    if folder.startswith("/box") or time.monotonic() > end and not folder.startswith("/dev"):
        continue
    attempt(folder, os.open, folder + "/planted", os.O_CREAT | os.O_WRONLY)
    attempt(folder, os.mkdir, folder + "/planted")
    attempt(folder, os.utime, folder)
    attempt(folder, os.chmod, folder, 0o777)
    for name in names:
        attempt(f"{folder}/{name}", os.open, f"{folder}/{name}", os.O_WRONLY | os.O_NOFOLLOW)
    for name in names[:1]:
        path = f"{folder}/{name}"
        attempt(path, os.unlink, path)
        attempt(path, os.rename, path, path + "~")
        attempt(path, os.rename, "planted", path)
        attempt(path, os.symlink, "/etc/passwd", path + "~")
        attempt(path, os.setxattr, path, "user.x", b"1")
        attempt(path, os.truncate, path, 0)
tell([tried, sorted(set(written))])
"""
    limits = {"wall_s": 60, "cpu_s": 60, "descriptors": 4096}
    tried, written = told(run(sandbox, TELL + program, **limits))
    assert tried > 1000
    devices = [f"/dev/{name}" for name in ("full", "null", "random", "urandom", "zero")]
    assert written == devices, "to write to these changes nothing"


def test_a_file_of_the_host_is_found_on_no_way(sandbox: Sandbox, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    secret.chmod(0o666)
    program = f"""
path = {str(secret)!r}
ways = [above + path for above in ("", "/.host", "/proc/1/root", "/proc/self/root", "/box/..",
                                   "../" * 40, "/trees", "/proc/{os.getpid()}/root")]
ways += ["/dev/fd/4", "/proc/self/fd/4", "/proc/{os.getpid()}/fd/4"]
seen = [[error(open, way, mode) for mode in ("r", "r+", "x")] for way in ways]
above = os.open("/", os.O_RDONLY)
for _ in range(5):  # a root above the root, as a descriptor would have it
    above = os.open("..", os.O_RDONLY, dir_fd=above)
inside = [fd for fd in range(200) if error(os.fstat, fd) == "done"]
tell([seen, os.stat(above).st_ino == os.stat("/").st_ino, inside[:4], inside[4:]])
"""
    seen, same_root, standard, more = told(run(sandbox, TELL + program))
    for reading, changing, making in seen:
        assert {reading, changing} == {"ENOENT"}
        assert making in ("ENOENT", "EROFS", "EACCES")
    assert same_root
    assert standard == [0, 1, 2, 3]
    assert len(more) == 6, "those that the program opened itself, none of the worker's"
    assert secret.read_text() == "secret"


def test_no_process_of_the_host_is_in_reach(sandbox: Sandbox) -> None:
    program = f"""
import resource, signal
trainer, first, mine = {os.getpid()}, 1, os.getpid()
others = [pid for pid in range(1, 70_000) if pid not in (first, mine)]
seen = {{pid for pid in others if error(os.kill, pid, 0) != "ESRCH"}}
for pid in [trainer, os.getppid() + 1 + mine, *others[:300]]:
    for action, *arguments in [
        (os.kill, pid, 9), (os.killpg, pid, 9), (os.pidfd_open, pid), (os.getpgid, pid),
        (os.getsid, pid), (os.sched_getaffinity, pid), (os.sched_setaffinity, pid, [0]),
        (os.getpriority, os.PRIO_PROCESS, pid), (os.setpriority, os.PRIO_PROCESS, pid, 19),
        (resource.prlimit, pid, resource.RLIMIT_CPU, (1, 1)),
    ]:
        try:
            action(*arguments)
            seen.add(pid)
        except (ProcessLookupError, PermissionError):
            pass
tell([sorted(seen), os.getppid(), error(os.kill, 0, 0)])
"""
    limits = {"wall_s": 60, "cpu_s": 60}
    assert told(run(sandbox, TELL + program, **limits)) == [[], 1, "done"]


def test_what_the_kernel_gives_a_user_is_not_taken_from_the_hosts(sandbox: Sandbox) -> None:
    program = """
import ctypes
libc = ctypes.CDLL(None)
made = 0
for _ in range(10):
    if os.fork() == 0:
        while libc.inotify_init1(0) >= 0:
            os.write(RESULT_FD, b"1")
        os._exit(0)
    os.wait()
    made += 1
for _ in range(8):
    libc.inotify_init1(0)
t = time.monotonic()
for _ in range(300):
    os.sync()  # the host's disks would have to be waited for
os.write(RESULT_FD, b" " + str(made).encode())
"""
    answer = run(sandbox, TELL + program)
    made, _, processes = answer.result.partition(b" ")
    assert processes == b"10", answer
    assert made == b"1" * 80, "8 at a time, in each of 10 processes after one another"


def test_a_result_is_what_came_through_the_pipe_whatever_lies_in_its_place(
    sandbox: Sandbox,
) -> None:
    program = """
for name in ("result", "result.json", "reward.txt", "stdout", "3"):
    os.symlink("/etc/passwd", name)
    os.symlink("/etc/passwd", "/tmp/" + name)
os.write(RESULT_FD, b"true ")
if os.fork() == 0:
    os.setsid()
    time.sleep(0.3)
    os.write(RESULT_FD, b"late")
    os._exit(0)
decoy = os.open("decoy", os.O_CREAT | os.O_RDWR)
os.dup2(decoy, RESULT_FD)
os.write(RESULT_FD, b"false")
os.unlink("decoy")
os.symlink("/etc/passwd", "decoy")
"""
    assert run(sandbox, TELL + program).result == b"true "


def test_a_link_swapped_in_while_we_look_is_never_followed(sandbox: Sandbox) -> None:
    swap = """
import os, time
os.makedirs("folder", exist_ok=True)
os.makedirs("/tmp/other", exist_ok=True)
end = time.monotonic() + 20
if os.fork() == 0:
    os.setsid()
    while time.monotonic() < end:
        for make, name in [(lambda p: open(p, "w").write("own"), "file"),
                           (lambda p: os.symlink("/etc/passwd", p), "file"),
                           (lambda p: os.mkfifo(p), "file"),
                           (lambda p: os.symlink("/tmp/other", p), "link")]:
            make("new")
            if name == "link":
                os.rename("folder", "aside"); os.rename("new", "folder")
                os.unlink("folder"); os.rename("aside", "folder")
            else:
                os.rename("new", name)
"""
    texts = set()
    with begin(sandbox, limits={"cpu_s": 60}) as session:
        session.python(swap, b"", 5)
        end = time.monotonic() + 2
        while time.monotonic() < end:
            for action in (
                lambda: texts.add(session.read("file")),
                lambda: session.write("file", "own"),
                lambda: session.write("folder/file", "own"),
                lambda: texts.update(map(str, session.changed().values())),
            ):
                try:
                    action()
                except NotAFile:
                    texts.add("refused")
        outside = session.python("import os\nprint(os.listdir('/tmp/other'))", b"", 5)
        passwd = session.python("print(open('/etc/passwd').read())", b"", 5)
    assert {"own", "refused"} <= texts <= {"own", "", "refused", "None"}
    assert outside.stdout == b"[]\n"
    assert passwd.stdout.startswith(b"box:x:1000")


def test_it_stays_so_from_many_threads() -> None:
    """Jobs side by side do not see each other's files, in whichever worker they run."""
    with opened_by("root" if os.geteuid() == 0 else "user", workers=2) as sandbox:
        found: list[object] = []

        def look(number: int) -> None:
            program = f"""
open("mine{number}", "w").close(); open("/tmp/mine{number}", "w").close()
time.sleep(0.05)
tell([os.listdir("."), os.listdir("/tmp")])
"""
            found.append(told(run(sandbox, TELL + program)) == [[f"mine{number}"]] * 2)

        threads = [threading.Thread(target=look, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == [True] * 8

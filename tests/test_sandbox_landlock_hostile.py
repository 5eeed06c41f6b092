"""The same hostile programs where namespaces are forbidden, and what is told of them there."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import test_sandbox_hostile
from landlock_parts import ORDINARY, landlock, open_to_all, python_for_all
from test_sandbox_hostile import TELL, run, told
from toprope.sandbox import Sandbox

# Their programs get another answer here; each has its own test below.
ANSWERED_OTHERWISE = {
    "test_the_disk_and_the_number_of_files_are_bounded": "a watchdog stops the job, no ENOSPC",
    "test_no_network_not_even_to_the_same_machine": "no socket can be made",
    "test_the_host_cannot_be_read": "what cannot be read can still be seen to exist",
    "test_nothing_outside_the_workspace_can_be_written": "there is no /box",
    "test_the_ways_to_more_rights_are_closed": "the first process of the host is no ghost",
    "test_no_signal_and_no_limit_reaches_the_rooms_first_process": "signals are refused",
    "test_a_job_finds_nothing_of_the_one_before": "/tmp is the host's, TMPDIR its own",
    "test_links_out_of_the_workspace_lead_nowhere": "what is there cannot be opened",
}
if os.geteuid() != 0:
    by_watchdog = "of an ordinary user, a watchdog counts the processes"
    ANSWERED_OTHERWISE["test_a_fork_bomb_meets_the_process_limit"] = by_watchdog
    ANSWERED_OTHERWISE["test_threads_count_as_processes"] = by_watchdog
globals().update(
    {
        name: test
        for name, test in vars(test_sandbox_hostile).items()
        if name.startswith("test_") and name not in ANSWERED_OTHERWISE
    }
)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(0, id="newest"),
        pytest.param(4, id="Linux 6.7", marks=pytest.mark.slow),
    ],
)
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    with landlock(most_abi=request.param) as opened:
        yield opened


def test_a_fork_bomb_is_stopped(sandbox: Sandbox) -> None:
    program = """
while True:
    if os.fork() == 0:
        os.setsid()
"""
    result = run(sandbox, TELL + program, wall_s=20)
    assert result.status in ("limit", "exited"), result
    assert _descendants(sandbox.pids()[0]) == 1, "only the worker is left"  # type: ignore[attr-defined]
    assert run(sandbox, "pass").why == "exited with 0"


def test_many_threads_are_stopped(sandbox: Sandbox) -> None:
    program = """
import threading
try:
    for _ in range(100):
        threading.Thread(target=time.sleep, args=(30,)).start()
    time.sleep(30)
except RuntimeError:
    tell("refused")
    os._exit(0)
"""
    result = run(sandbox, TELL + program, processes=8)
    assert result.result == b'"refused"' or result.why == "more than 8 processes"


WAYS_TO_FILL = {
    "one by one": """
for number in range(60):
    with open(f"here{number}", "wb") as file:
        file.write(bytes(1 << 20))
    time.sleep(0.01)
""",
    "beside": """
for number in range(60):
    with open(f"{os.environ['TMPDIR']}/../there{number}", "wb") as file:
        file.write(bytes(1 << 20))
    time.sleep(0.01)
""",
    "without a name": """
kept = []
for number in range(30):
    kept.append(open(f"here{number}", "w+b"))
    os.unlink(f"here{number}")
    kept[-1].write(bytes(1 << 20))
    kept[-1].flush()
time.sleep(20)
""",
    "in a closed folder": """
os.mkdir("closed")
here = os.open("closed", os.O_RDONLY)
os.chmod("closed", 0)
os.fchmod(here, 0o300)
for number in range(30):
    with open(os.open(f"f{number}", os.O_CREAT | os.O_WRONLY, dir_fd=here), "wb") as file:
        file.write(bytes(1 << 20))
time.sleep(20)
""",
    "quickly": """
for number in range(9):
    with open(f"here{number}", "wb") as file:
        file.write(bytes(1 << 20))
os._exit(0)
""",
}


@pytest.mark.parametrize("way", WAYS_TO_FILL)
def test_the_disk_is_bounded_by_a_watchdog(sandbox: Sandbox, way: str) -> None:
    result = run(sandbox, TELL + WAYS_TO_FILL[way], disk_mb=8, wall_s=20)
    assert (result.status, result.why) == ("limit", "more than 8 MB of files"), result


def test_one_file_is_bounded_by_the_kernel(sandbox: Sandbox) -> None:
    program = "tell(error(open('large', 'wb').write, bytes(9 << 20)))"
    assert told(run(sandbox, TELL + program, disk_mb=8)) == "EFBIG"


def test_deleted_files_that_are_only_mapped_are_counted(sandbox: Sandbox) -> None:
    program = """
import mmap
kept = []
for number in range(40):
    with open("large", "w+b") as file:
        file.truncate(1 << 20)
        kept.append(mmap.mmap(file.fileno(), 4096))
        os.closerange(file.fileno() + 1, 60)  # Python keeps a second descriptor
        os.unlink("large")
time.sleep(20)
"""
    result = run(sandbox, TELL + program, descriptors=128, wall_s=20)
    assert (result.status, result.why) == ("limit", "more than 16 deleted files in memory")


def test_the_number_of_files_is_bounded(sandbox: Sandbox) -> None:
    program = "for number in range(10**6): open(f'file{number}', 'w').close()"
    result = run(sandbox, program, wall_s=20, cpu_s=20)
    assert (result.status, result.why) == ("limit", "more than 8192 files")


def test_a_process_cannot_hide_what_it_holds(sandbox: Sandbox) -> None:
    program = """
import ctypes, shutil, sys
tell(ctypes.CDLL(None).prctl(4, 0, 0, 0, 0))
shutil.copyfile(os.path.realpath("/bin/true") if os.path.exists("/x") else sys.executable, "mine")
os.chmod("mine", 0o100)
os.execv("mine", ["mine", "-S", "-c", "import time; time.sleep(20)"])
"""
    result = run(sandbox, TELL + program, wall_s=10)
    assert result.result == b"-1"
    assert result.why == "a process hides the files that it holds open", result


def test_no_socket_can_be_made_and_a_pair_reaches_nobody(sandbox: Sandbox) -> None:
    program = """
seen = {family: error(socket.socket, family, kind) for family in (1, 2, 10, 16, 17, 38, 40)
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM)}
one, other = socket.socketpair()
one.send(b"x")
tell([sorted(set(seen.values())), other.recv(1).decode(), error(socket.socketpair, 1, 2),
      error(one.connect, "\\0toprope-test"), error(one.sendto, b"x", "\\0toprope-test"),
      error(one.sendmsg, [b"x"]), error(socket.send_fds, one, [b"x"], [0]),
      error(one.bind, "name")])
"""
    with socket.socket(1) as abstract:
        abstract.bind("\0toprope-test")
        abstract.listen()
        families, sent, *others = told(run(sandbox, TELL + program))
    assert (families, sent) == (["EACCES", "EAFNOSUPPORT"], "x")
    assert others == ["EACCES", "EPERM", "EISCONN", "EPERM", "EPERM", "EPERM"]


def test_nothing_of_the_host_can_be_opened(sandbox: Sandbox) -> None:
    program = f"""
paths = ["/", "/etc", "/etc/passwd", "/etc/shadow", "/proc", "/proc/self/status", "/proc/1/environ",
         "/proc/self/mem", "/home", "/root", "/sys", "/var", "/run", "/tmp", "/dev",
         "/dev/shm", "/dev/tty", "/dev/vda", "/dev/kvm", "/bin/sh", "/usr/bin", "..", "../..",
         "../../trees", {os.path.abspath(__file__)!r}]
tell([path for path in paths if "done" in (error(open, path), error(os.listdir, path))])
"""
    assert told(run(sandbox, TELL + program)) == [".."], "its own folder"


def test_nothing_of_the_host_can_be_changed(sandbox: Sandbox) -> None:
    program = """
import sysconfig
libraries = sysconfig.get_path("stdlib")
places = ["/", "/usr/lib", "/etc", "/dev", "/dev/shm", "/tmp", "/var/tmp", "../..", libraries]
seen = [error(open, os.path.join(place, "planted"), "w") for place in places]
seen += [error(os.mkdir, os.path.join(place, "planted")) for place in places]
for name in ("/etc/passwd", f"{libraries}/os.py", "../..", "../../trees"):
    seen += [error(os.chmod, name, 0o777), error(os.utime, name), error(os.utime, name, (1, 1)),
             error(os.chown, name, os.getuid(), -1), error(os.setxattr, name, "user.x", b"x"),
             error(os.truncate, name, 0), error(os.rename, name, "mine"), error(os.unlink, name)]
seen += [error(os.mknod, "device", 0o60600, 0x801), error(os.link, f"{libraries}/os.py", "x")]
reading = os.open(f"{libraries}/os.py", os.O_RDONLY)
seen += [error(os.fchmod, reading, 0o777)]
seen += [error(os.utime, reading, times) for times in (None, (1, 1))]
tell(seen)
"""
    errors = told(run(sandbox, TELL + program))
    assert set(errors) <= {"EROFS", "EACCES", "EPERM", "EXDEV", "EISDIR", "EBUSY"}


def test_links_cannot_carry_a_change_out_of_the_workspace(sandbox: Sandbox, tmp_path: Path) -> None:
    """Also not while they are exchanged: the owner's rights are used on what was checked."""
    target = tmp_path / "private"
    target.write_text("")
    target.chmod(0o640)
    if os.geteuid() == 0:
        target = Path("/dev/null")  # what every user may name
    before = target.stat().st_mode
    program = f"""
import threading
open("mine", "w").close()
def swap():
    while True:
        os.symlink({str(target)!r}, "link"); os.replace("link", "name")
        os.link("mine", "other"); os.replace("other", "name")
threading.Thread(target=swap, daemon=True).start()
time.sleep(0.01)
seen = {{error(os.chmod, "name", 0o600 + number % 2) for number in range(3000)}}
tell(sorted(seen))
os._exit(0)
"""
    result = run(sandbox, TELL + program, wall_s=30, cpu_s=30)
    assert set(told(result)) <= {"EPERM", "ENOENT", "done"}
    assert target.stat().st_mode == before


def test_no_signal_and_no_limit_leaves_the_job(sandbox: Sandbox) -> None:
    with _Outside() as outside:
        program = f"""
import ctypes, resource, signal
libc = ctypes.CDLL(None, use_errno=True)
others = [1, {outside}, os.getppid()]
seen = [error(os.kill, pid, number) for pid in others for number in (0, 9, 15)]
seen += [error(os.killpg, pid, 9) for pid in others[1:]]
seen += [error(resource.prlimit, pid, resource.RLIMIT_CPU, (0, 0)) for pid in others]
seen += [error(os.sched_setaffinity, pid, [0]) for pid in others]
seen += [error(os.setpriority, kind, pid, 19) for kind in (0, 1, 2) for pid in others]
seen += [error(os.setpriority, kind, 0, 19) for kind in (1, 2)]
seen += [error(signal.pidfd_send_signal, os.pidfd_open(pid), 9) for pid in others]
seen += [libc.tgkill(pid, pid, 9) for pid in others]
seen += [libc.ptrace(16, pid, 0, 0) for pid in others]
own = os.fork()
if own == 0: time.sleep(50)
os.kill(own, 9)
tell([seen, os.waitpid(own, 0)[1]])
"""
        seen, own = told(run(sandbox, TELL + program))
        assert _alive(outside)
    assert own == 9, "its own it can end"
    assert set(seen) <= {"EPERM", "ESRCH", -1}


def test_killing_everything_reaches_nobody_else(sandbox: Sandbox) -> None:
    with _Outside() as outside:
        result = run(sandbox, TELL + "tell(error(os.kill, -1, 9))")
        assert _alive(outside)
    assert result.status in ("exited", "signalled")
    assert run(sandbox, "pass").why == "exited with 0"


def test_nothing_can_be_learnt_from_notifications(sandbox: Sandbox) -> None:
    program = """
import ctypes, fcntl
libc = ctypes.CDLL(None, use_errno=True)
here = os.open(".", os.O_RDONLY)
file = open("mine", "w")
tell([libc.inotify_init1(0), error(fcntl.fcntl, here, fcntl.F_NOTIFY, 1),
      error(fcntl.fcntl, file, fcntl.F_SETLEASE, 1), error(fcntl.fcntl, file, fcntl.F_SETOWN, 1),
      error(fcntl.ioctl, file, 0x40086602, b"\\0" * 8)])
"""
    assert told(run(sandbox, TELL + program)) == [-1, "EPERM", "EPERM", "EPERM", "ENOTTY"]


def test_the_ways_to_more_rights_are_closed_here_too(sandbox: Sandbox) -> None:
    program = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
tell([libc.unshare(0x10000000), libc.unshare(0x00020000), libc.chroot(b"."), libc.setuid(0),
      libc.mount(b"none", b".", b"tmpfs", 0, None), libc.setns(0, 0), libc.syscall(425, 1, 0),
      libc.shmget(1, 1, 0), libc.semget(1, 1, 0), libc.msgget(1, 0)])
"""
    assert set(told(run(sandbox, TELL + program))) == {-1}


def test_nothing_of_the_job_before_is_left(sandbox: Sandbox) -> None:
    plant = """
import os
path = "x"
for _ in range(1200):
    os.mkdir(path); os.chdir(path)
open("deep", "w").close()
for top in (os.environ["HOME"], os.environ["TMPDIR"], os.environ["HOME"] + "/.."):
    os.mkdir(f"{top}/left"); open(f"{top}/left/file", "w").close(); os.chmod(f"{top}/left", 0)
"""
    look = "tell([os.listdir('.'), os.listdir(os.environ['TMPDIR']), sorted(os.listdir('..'))])"
    assert run(sandbox, plant).why == "exited with 0"
    assert told(run(sandbox, TELL + look)) == [[], [], ["tmp", "work"]]


def test_links_out_of_the_workspace_open_nothing(sandbox: Sandbox) -> None:
    program = """
os.symlink("/etc/passwd", "link")
tell([error(open, "link"), error(open, "../../../../../etc/passwd"), error(os.readlink, "link")])
"""
    assert told(run(sandbox, TELL + program)) == ["EACCES", "EACCES", "done"]


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become an ordinary user")
def test_all_of_this_holds_for_an_ordinary_user() -> None:
    tests = Path(__file__)
    libraries = sysconfig.get_path("purelib")
    source = str(tests.parent.parent / "src")
    python = python_for_all()
    if not all(map(open_to_all, (str(tests), libraries, source))):
        pytest.skip("an ordinary user cannot read this checkout, or pytest")
    same = f"import sys; sys.exit(sys.version_info[:2] != {sys.version_info[:2]})"
    if subprocess.run([python, "-c", same], check=False).returncode:
        pytest.skip("the Python that an ordinary user can start is not the one that has pytest")
    user = ["setpriv", f"--reuid={ORDINARY}", f"--regid={ORDINARY}", "--clear-groups"]
    done = subprocess.run(
        [*user, python, "-m", "pytest", "-o", "addopts=-q", "-p", "no:cacheprovider", str(tests)],
        env={"PYTHONPATH": f"{source}:{libraries}", "PYTHONDONTWRITEBYTECODE": "1"},
        cwd="/", capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]
    assert "passed" in done.stdout


class _Outside:
    """A process that an ordinary user's jobs could signal, were it not for the walls."""

    def __enter__(self) -> int:
        self.process = subprocess.Popen(["sleep", "60"])
        return self.process.pid

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()


def _alive(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def _descendants(pid: int) -> int:
    time.sleep(0.05)
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return len(listed) + sum(_descendants(int(child)) for child in listed)

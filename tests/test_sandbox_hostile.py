"""Programs that try to get out, or to take too much, behind the real walls."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox_as_user import opened_by
from told import TELL
from toprope.sandbox import Job, Limits, Result, Sandbox


@pytest.fixture(scope="module")
def sandbox(owner: str) -> Iterator[Sandbox]:
    with opened_by(owner, workers=1) as opened:
        yield opened


def run(sandbox: Sandbox, program: str, **limits: float) -> Result:
    return sandbox.run(Job("hostile", {}, program, limits=Limits(**limits)))


def told(result: Result) -> object:
    assert result.status == "exited", (result, result.stdout.decode())
    return json.loads(result.result)


def test_a_fork_bomb_meets_the_process_limit(sandbox: Sandbox) -> None:
    program = """
made = 0
try:
    while made < 400:
        if os.fork() == 0:
            time.sleep(60)
        made += 1
except OSError as problem:
    tell([made, errno.errorcode[problem.errno]])
"""
    made, why = told(run(sandbox, TELL + program, processes=16))
    assert (made, why) == (15, "EAGAIN")
    assert run(sandbox, "pass").why == "exited with 0"


def test_threads_count_as_processes(sandbox: Sandbox) -> None:
    program = """
import threading
started = 0
try:
    for _ in range(100):
        threading.Thread(target=time.sleep, args=(30,), daemon=True).start()
        started += 1
except RuntimeError:
    tell(started)
"""
    assert told(run(sandbox, TELL + program, processes=8)) == 7


def test_one_process_cannot_hold_more_than_its_memory(sandbox: Sandbox) -> None:
    program = """
held = []
try:
    while True:
        held.append(bytearray(1 << 20))
except MemoryError:
    count = len(held)
    held.clear()
    tell(count)
"""
    assert 64 < told(run(sandbox, TELL + program, memory_mb=128)) < 128


@pytest.mark.parametrize("shared", [False, True])
def test_many_processes_together_cannot_either(sandbox: Sandbox, shared: bool) -> None:
    program = f"""
import mmap
for _ in range(8):
    if os.fork() == 0:
        held = mmap.mmap(-1, 100 << 20) if {shared} else bytearray(100 << 20)
        for at in range(0, 100 << 20, 4096):
            held[at] = 1
        time.sleep(60)
time.sleep(60)
"""
    result = run(sandbox, TELL + program, memory_mb=128)
    assert (result.status, result.why) == ("limit", "more than 128 MB of memory")


@pytest.mark.parametrize("hidden", ["", "import ctypes; ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)"])
def test_shared_memory_given_back_for_show_is_counted(sandbox: Sandbox, hidden: str) -> None:
    program = """
import mmap
held = mmap.mmap(-1, 300 << 20)
for at in range(0, len(held), 4 << 20):
    held[at:at + (4 << 20)] = bytes(4 << 20)
    held.madvise(mmap.MADV_DONTNEED)
time.sleep(20)
"""
    result = run(sandbox, TELL + hidden + program, memory_mb=128, wall_s=20)
    assert result.status == "limit"
    assert result.why.startswith(("more than 128 MB of memory", "a process hides the "))


def test_memory_that_no_process_maps_is_refused(sandbox: Sandbox) -> None:
    program = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
tell([error(os.memfd_create, "x"), libc.shmget(0, 4096, 0o1600), ctypes.get_errno()])
"""
    assert told(run(sandbox, TELL + program)) == ["EPERM", -1, 1]


def test_the_disk_and_the_number_of_files_are_bounded(sandbox: Sandbox) -> None:
    program = """
import resource
def fill(path):
    done = 0
    for part in range(50):
        try:
            with open(f"{path}{part}", "wb") as file:
                for _ in range(100):
                    file.write(bytes(1 << 20))
                    file.flush()
                    done += 1
        except OSError as problem:
            why = errno.errorcode[problem.errno]
    return done, why
work, tmp, shm = fill("here"), fill("/tmp/there"), fill("/dev/shm/there")
for part in range(50):
    error(os.unlink, f"here{part}")
files = 0
try:
    while True:
        open(f"file{files}", "w").close()
        files += 1
except OSError as problem:
    tell([work[1], work[0] + tmp[0] + shm[0], files, errno.errorcode[problem.errno]])
"""
    why, megabytes, files, full = told(run(sandbox, TELL + program, disk_mb=8))
    assert why == "ENOSPC"
    assert megabytes <= 8
    assert files < 8192
    assert full == "ENOSPC"


@pytest.mark.parametrize("where", ["1", "2", "RESULT_FD"])
def test_a_flood_of_output_is_cut_off(sandbox: Sandbox, where: str) -> None:
    result = run(sandbox, f"import os\nwhile True: os.write({where}, b'x' * 65536)")
    assert result.status == "limit"
    assert result.why.startswith("more than 1048576 bytes of ")
    assert len(result.stdout) <= 1 << 20
    assert len(result.result) <= 1 << 20


def test_no_network_not_even_to_the_same_machine(sandbox: Sandbox) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    program = f"""
seen = {{}}
for name, family, kind in [("tcp", 2, 1), ("udp", 2, 2), ("tcp6", 10, 1)]:
    sock = socket.socket(family, kind)
    address = ("::1" if family == 10 else "127.0.0.1", {port})
    seen[name] = error(sock.connect, address)
seen["out"] = error(socket.socket().connect, ("192.0.2.1", 80))
for name, family in [("vsock", 40), ("netlink", 16), ("packet", 17), ("alg", 38)]:
    seen[name] = error(socket.socket, family, socket.SOCK_RAW if family != 40 else 1)
seen["abstract"] = error(socket.socket(1).connect, "\\0toprope-test")
tell(seen)
"""
    abstract = socket.socket(1)
    abstract.bind("\0toprope-test")
    abstract.listen()
    seen = told(run(sandbox, TELL + program))
    listener.close()
    abstract.close()
    unreachable = {seen.pop(name) for name in ("tcp", "udp", "out")}
    assert unreachable == {"ENETUNREACH"}
    assert seen.pop("tcp6") in ("EADDRNOTAVAIL", "ENETUNREACH")
    assert seen.pop("abstract") == "ECONNREFUSED"
    assert set(seen.values()) == {"EAFNOSUPPORT"}


def test_the_host_cannot_be_read(sandbox: Sandbox) -> None:
    here = os.path.abspath(__file__)
    program = f"""
paths = ["/etc/shadow", "/proc/1/environ", "/proc/self/mem", "/home", "/root/.ssh", "/sys",
         "/var", "/.host", "/dev/vda", "/dev/kvm", "/bin/sh", "/usr/bin/env", {here!r}]
tell([path for path in paths if os.path.exists(path)] + os.listdir("/etc"))
"""
    allowed = ["group", "hosts", "ld.so.cache", "passwd"]
    assert sorted(told(run(sandbox, TELL + program))) == allowed


def test_nothing_outside_the_workspace_can_be_written(sandbox: Sandbox) -> None:
    program = """
import sysconfig
places = ["/", "/usr/lib", "/etc", "/dev", "/lib", sysconfig.get_path("stdlib")]
tell([error(open, os.path.join(place, "planted"), "w") for place in places]
     + [error(os.chmod, "/etc/passwd", 0o777), error(os.mknod, "device", 0o60600, 0x801)])
"""
    errors = told(run(sandbox, TELL + program))
    assert set(errors) <= {"EROFS", "EACCES", "EPERM"}


def test_only_the_standard_library_can_be_imported(sandbox: Sandbox) -> None:
    program = """
import importlib, sqlite3, xml.dom.minidom, email.message
found = []
sys.path += [os.path.join(path, "site-packages") for path in sys.path]
for name in ["toprope", "pip", "setuptools", "numpy", "torch", "pytest", "zygote"]:
    try:
        importlib.import_module(name)
        found.append(name)
    except ImportError:
        pass
tell(found)
"""
    assert told(run(sandbox, TELL + program)) == []


def test_the_ways_to_more_rights_are_closed(sandbox: Sandbox) -> None:
    program = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
def call(name, *arguments):
    ctypes.set_errno(0)
    return getattr(libc, name)(*arguments), ctypes.get_errno()
seen = {
    "unshare user": call("unshare", 0x10000000),
    "unshare mount": call("unshare", 0x00020000),
    "mount": call("mount", b"none", b"/tmp", b"tmpfs", 0, None),
    "umount": call("umount2", b"/box", 2),
    "chroot": call("chroot", b"/tmp"),
    "ptrace init": call("ptrace", 16, 1, 0, 0),
    "setuid": call("setuid", 0),
    "setns": call("setns", 0, 0),
    "bpf": call("syscall", 321 if os.uname().machine == "x86_64" else 280, 0, 0, 0),
    "keyctl": call("syscall", 250 if os.uname().machine == "x86_64" else 219, 0, -3, 1),
    "io_uring": call("syscall", 425, 1, 0),
    "newest": call("syscall", 9999),
    "hostname": call("sethostname", b"x", 1),
    "kill init": (os.kill(1, 9), os.getppid()),
}
tell(seen)
"""
    seen = told(run(sandbox, TELL + program))
    assert seen.pop("kill init") == [None, 1]
    assert seen.pop("newest") == [-1, 38]
    assert {name: answer for name, answer in seen.items() if answer[0] != -1} == {}


def test_clone_with_namespace_flags_is_refused(sandbox: Sandbox) -> None:
    program = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
clone = 56 if os.uname().machine == "x86_64" else 220
pid = libc.syscall(clone, 0x10000000 | 17, 0, 0, 0, 0)
if pid == 0: os._exit(0)
tell([pid, ctypes.get_errno()])
"""
    assert told(run(sandbox, TELL + program)) == [-1, 1]


def test_what_detaches_itself_dies_with_the_job(sandbox: Sandbox) -> None:
    program = """
import signal
for _ in range(3):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
                signal.signal(number, signal.SIG_IGN)
            time.sleep(987)
        os._exit(0)
tell("gone")
"""
    assert told(run(sandbox, TELL + program)) == "gone"
    worker = _worker_of(sandbox)
    assert _children(_children(worker)[0]) == []


def test_time_is_bounded_for_sleepers_and_for_the_stubborn(sandbox: Sandbox) -> None:
    stubborn = """
import os, signal
for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
    signal.signal(number, signal.SIG_IGN)
while True:
    pass
"""
    asleep = run(sandbox, "import time\ntime.sleep(60)", wall_s=0.3)
    assert (asleep.status, asleep.why) == ("timeout", "still running after 0.3 s")
    assert run(sandbox, stubborn, wall_s=0.5).status == "timeout"
    assert run(sandbox, "while True: pass", wall_s=60, cpu_s=1).status == "timeout"
    assert run(sandbox, "import os\nos.kill(os.getpid(), 19)", wall_s=0.3).status == "timeout"
    shared = run(sandbox, "import os\nos.fork()\nos.fork()\nwhile True: pass", wall_s=60, cpu_s=1)
    assert (shared.status, shared.why) == ("timeout", "used more than 1 s of processor time")


def test_killing_everything_in_reach_reaches_only_itself(sandbox: Sandbox) -> None:
    program = TELL + "error(os.kill, -1, 9)\nos.kill(os.getpid(), 9)"
    result = run(sandbox, program)
    assert (result.status, result.returncode) == ("signalled", -9)
    assert run(sandbox, "pass").why == "exited with 0"


def test_no_signal_and_no_limit_reaches_the_rooms_first_process(sandbox: Sandbox) -> None:
    program = """
import resource, signal
for number in signal.valid_signals():
    os.kill(1, number)
time.sleep(0.1)
tell([os.getppid()] + [error(resource.prlimit, 1, getattr(resource, name), (0, 0))
                       for name in ("RLIMIT_CPU", "RLIMIT_NOFILE", "RLIMIT_AS")])
"""
    assert told(run(sandbox, TELL + program)) == [1, "EPERM", "EPERM", "EPERM"]


def test_a_job_finds_nothing_of_the_one_before(sandbox: Sandbox) -> None:
    plant = """
import builtins, json
builtins.planted = json.planted = True
open("left", "w").close(); open("/tmp/left", "w").close()
"""
    look = TELL + "tell([hasattr(json, 'planted'), os.listdir('.'), os.listdir('/tmp')])"
    assert run(sandbox, plant).why == "exited with 0"
    assert told(run(sandbox, look)) == [False, [], []]


def test_links_out_of_the_workspace_lead_nowhere(sandbox: Sandbox) -> None:
    program = (
        TELL
        + """
os.symlink("/etc/shadow", "link")
tell([error(open, "link"), error(open, "/box/../../../etc/shadow"), 
      error(os.link, "/etc/passwd", "x")])
"""
    )
    assert told(run(sandbox, program)) == ["ENOENT", "ENOENT", "EXDEV"]


def _worker_of(sandbox: Sandbox) -> int:
    return sandbox.pids()[0]  # type: ignore[attr-defined]


def _children(pid: int) -> list[int]:
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()
            if int(fields[1]) == pid:
                found.append(int(name))
    return found

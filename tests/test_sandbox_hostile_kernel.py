"""The kernel's doors that untrusted code may knock at: mounts, namespaces, tracing, sockets."""

from __future__ import annotations

import json
import os
import platform
import socket
from collections.abc import Iterator

import pytest

from sandbox_as_user import opened_by
from test_sandbox_hostile import TELL, run, told
from toprope.sandbox import Sandbox
from toprope.sandbox.zygote import seccomp


@pytest.fixture(scope="module")
def sandbox(owner: str) -> Iterator[Sandbox]:
    with opened_by(owner, workers=1) as opened:
        yield opened


LIBC = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
X86 = os.uname().machine == "x86_64"
def call(name, *arguments):
    ctypes.set_errno(0)
    action = libc.syscall if isinstance(name, int) else getattr(libc, name)
    numbers = [name] if isinstance(name, int) else []
    wide = [ctypes.c_long(a) if isinstance(a, int) else a for a in (*numbers, *arguments)]
    value = action(*wide)
    return "done" if value >= 0 else errno.errorcode[ctypes.get_errno()]
"""


def test_every_refused_call_is_refused_by_the_kernel(sandbox: Sandbox) -> None:
    program = f"tell({{n: call(n, 0, 0, 0, 0, 0) for n in {seccomp.denied(platform.machine())}}})"
    answers = told(run(sandbox, TELL + LIBC + program))
    assert len(answers) > 70
    assert set(answers.values()) == {"EPERM"}


def test_no_mount_can_be_changed_or_made(sandbox: Sandbox) -> None:
    program = """
MS_RDONLY, MS_REMOUNT, MS_BIND, MS_MOVE = 1, 32, 4096, 8192
attributes = (ctypes.c_uint64 * 4)(0, 1, 0, 0)  # clear MOUNT_ATTR_RDONLY
seen = {}
for place in (b"/", b"/usr/lib", b"/etc", b"/box", b"/dev/null"):
    seen["remount " + place.decode()] = call("mount", None, place, None, MS_REMOUNT | MS_BIND, None)
    seen["superblock " + place.decode()] = call("mount", None, place, None, MS_REMOUNT, None)
    seen["attributes " + place.decode()] = call(442, -100, place, 0x8000, attributes, 32)
    seen["umount " + place.decode()] = call("umount2", place, 2)
for kind in (b"proc", b"sysfs", b"tmpfs", b"devtmpfs", b"overlay", b"ext4", b"cgroup2", b"fuse"):
    seen["mount " + kind.decode()] = call("mount", b"none", b"/box/tmp", kind, 0, None)
    seen["fsopen " + kind.decode()] = call(430, kind, 0)
seen["move"] = call("mount", b"/usr/lib", b"/box/tmp", None, MS_MOVE, None)
seen["bind"] = call("mount", b"/", b"/box/tmp", None, MS_BIND, None)
seen["open_tree"] = call(428, -100, b"/", 1)
seen["move_mount"] = call(429, -100, b"/usr/lib", -100, b"/box/tmp", 0)
seen["fspick"] = call(433, -100, b"/", 0)
seen["pivot_root"] = call(155 if X86 else 41, b"/box", b"/box/tmp")
seen["chroot"] = call("chroot", b"/box")
tell([seen, error(open, "/usr/lib/planted", "w")])
"""
    seen, write = told(run(sandbox, TELL + LIBC + program))
    assert {name: answer for name, answer in seen.items() if answer != "EPERM"} == {}
    assert write == "EROFS"


def test_no_namespace_can_be_made_or_entered(sandbox: Sandbox) -> None:
    program = """
flags = {"mount": 0x20000, "cgroup": 0x2000000, "uts": 0x4000000, "ipc": 0x8000000,
         "user": 0x10000000, "pid": 0x20000000, "net": 0x40000000, "time": 0x80}
parent = os.getpid()
seen = {"unshare " + name: call("unshare", flag) for name, flag in flags.items()}
for name, flag in flags.items():
    for more in (0, 0x10000000):  # alone, and with a user namespace that would allow it
        if flag != 0x80 or more:  # in clone's flags that bit is part of the signal
            seen[f"clone {name} {more}"] = call(56 if X86 else 220, flag | more | 17, 0, 0, 0, 0)
        if os.getpid() != parent:
            os._exit(0)
seen["setns"] = [call("setns", os.pidfd_open(pid), 0x7E020080) for pid in (1, parent)][0]
clone3 = (ctypes.c_uint64 * 11)(0x10000000, 0, 0, 0, 17)
tell([seen, call(435, clone3, 88)])
"""
    seen, clone3 = told(run(sandbox, TELL + LIBC + program))
    assert {name: answer for name, answer in seen.items() if answer != "EPERM"} == {}
    assert clone3 == "ENOSYS"


def test_nothing_can_be_traced_or_looked_into(sandbox: Sandbox) -> None:
    program = """
child = os.fork()
if child == 0:
    time.sleep(30)
space = (ctypes.c_uint64 * 2)(id(child), 8)
seen = {}
for name, pid in (("first process", 1), ("child", child), ("self", os.getpid())):
    fd = os.pidfd_open(pid)
    for request in (16, 0x4206, 0, 2, 12):  # attach, seize, traceme, peekdata, getregs
        seen[f"ptrace {request} {name}"] = call("ptrace", request, pid, 0, 0)
    seen["readv " + name] = call("process_vm_readv", pid, space, 1, space, 1, 0)
    seen["writev " + name] = call("process_vm_writev", pid, space, 1, space, 1, 0)
    seen["getfd " + name] = call(438, fd, 1, 0)
    seen["madvise " + name] = call(440, fd, space, 1, 4, 0)
    seen["kcmp " + name] = call(312 if X86 else 272, pid, os.getpid(), 0, 1, 1)
    seen["perf " + name] = call(298 if X86 else 241, bytes(128), pid, -1, -1, 0)
seen["userfaultfd"] = call(323 if X86 else 282, 0)
os.kill(child, 9)
tell([seen, os.listdir("/proc"), os.path.exists("/sys")])
"""
    seen, proc, sys = told(run(sandbox, TELL + LIBC + program))
    assert {name: answer for name, answer in seen.items() if answer != "EPERM"} == {}
    assert (proc, sys) == ([], False)


def test_keyrings_and_io_uring_do_not_exist_for_a_job(sandbox: Sandbox) -> None:
    program = """
add, request, keyctl = (248, 249, 250) if X86 else (217, 218, 219)
seen = {"request": call(request, b"user", b"name", None, -3)}
for ring in (-1, -2, -3, -4, -5):  # of the thread, process, session, user, user's sessions
    seen[f"add {ring}"] = call(add, b"user", b"name", b"secret", 6, ring)
    seen[f"id {ring}"] = call(keyctl, 0, ring, 1)
seen["join"] = call(keyctl, 1, None)
seen["persistent"] = call(keyctl, 22, -1, -3)
seen["setup"] = call(425, 8, bytes(120))
seen["enter"] = call(426, 0, 1, 1, 0, None, 0)
seen["register"] = call(427, 0, 0, None, 0)
tell(seen)
"""
    seen = told(run(sandbox, TELL + LIBC + program))
    assert {name: answer for name, answer in seen.items() if answer != "EPERM"} == {}


def test_only_three_families_and_two_protocols_make_sockets(sandbox: Sandbox) -> None:
    program = """
made = set()
for family in range(64):
    for kind in range(1, 11):
        for protocol in (0, 1, 2, 6, 17, 33, 47, 58, 132, 136, 255, 262):
            for make in (socket.socket, socket.socketpair):
                try:
                    make(family, kind, protocol)
                    made.add((family, kind, protocol))
                except OSError:
                    pass
tell(sorted(made))
"""
    usual = [(1, kind, 0) for kind in (1, 2, 3, 5)]  # a raw unix socket is a datagram's
    usual += [(family, *rest) for family in (2, 10) for rest in ((1, 0), (1, 6), (2, 0), (2, 17))]
    made = {tuple(each) for each in told(run(sandbox, TELL + program))}
    # A kernel without IPv6 makes none of those.
    assert made | {each for each in usual if each[0] == 10} == set(usual)


def test_the_loopback_stays_down_and_no_name_is_resolved(sandbox: Sandbox) -> None:
    program = """
import fcntl, struct
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
def lookup(name):
    try:
        return socket.getaddrinfo(name, 80)[0][4][0]
    except socket.gaierror:
        return "unknown"
def resolver(address):
    return error(sock.sendto, b"query", (address, 53))
tell({
    "up": error(fcntl.ioctl, sock, 0x8914, struct.pack("16sh14x", b"lo", 0x49)),
    "address": error(fcntl.ioctl, sock, 0x8916, struct.pack("16sH2x4s8x", b"lo", 2, bytes(4))),
    "names": [lookup(name) for name in ("localhost", "example.org", "metadata.google.internal")],
    "resolvers": [resolver(address) for address in ("127.0.0.53", "127.0.0.1", "192.0.2.53")],
    "broadcast": [error(sock.setsockopt, 1, 6, 1), error(sock.sendto, b"", ("255.255.255.255", 9))],
    "mark": error(sock.setsockopt, 1, 36, 1),
})
"""
    seen = told(run(sandbox, TELL + program))
    assert (seen["up"], seen["address"], seen["mark"]) == ("EPERM", "EPERM", "EPERM")
    assert seen["names"] == ["unknown"] * 3
    assert seen["resolvers"] == ["ENETUNREACH"] * 3
    assert seen["broadcast"] == ["done", "ENETUNREACH"]


def test_abstract_and_named_sockets_of_the_host_are_not_there(sandbox: Sandbox) -> None:
    listeners = []
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET):
        listener = socket.socket(socket.AF_UNIX, kind)
        listener.bind(f"\0toprope-{os.getpid()}-{kind}")
        if kind != socket.SOCK_DGRAM:
            listener.listen()
        listeners.append(listener)
    program = f"""
seen = [error(socket.socket(1, kind).connect, f"\\0toprope-{os.getpid()}-{{kind}}")
        for kind in (1, 2, 5)]
places = ["/run/docker.sock", "/var/run/docker.sock", "/run/systemd/private", "/dev/log",
          "/run/dbus/system_bus_socket", "/tmp/.X11-unix/X0"]
tell([seen, [error(socket.socket(1).connect, place) for place in places]])
"""
    abstract, named = told(run(sandbox, TELL + program))
    for listener in listeners:
        listener.close()
    assert set(abstract) == {"ECONNREFUSED"}
    assert set(named) == {"ENOENT"}


def test_no_right_is_regained(sandbox: Sandbox) -> None:
    program = """
import resource
seen = {name: call(name, *arguments) for name, arguments in {
    "setresuid": (0, 0, 0), "setresgid": (0, 0, 0), "setgroups": (0, None),
    "sethostname": (b"x", 1), "personality": (0x0040000,), "acct": (None,),
    "swapon": (b"/box", 0), "reboot": (0xFEE1DEAD,), "klogctl": (3, 0, 0), "vhangup": (),
}.items()}
header, data = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)(*[0xFFFFFFFF] * 6)
seen["capset"] = call(126 if X86 else 91, header, data)
for name, option, value in (("keepcaps", 8, 1), ("securebits", 28, 0), ("ambient", 47, 2)):
    seen[name] = call("prctl", option, value, 21 if name == "ambient" else 0, 0, 0)
seen["memory map"] = call("prctl", 35, 8, 4096, 0, 0)
for name in ("NPROC", "DATA", "AS", "FSIZE", "NOFILE", "CPU", "RTPRIO"):
    limit = getattr(resource, "RLIMIT_" + name)
    try:
        resource.setrlimit(limit, (1 << 40, 1 << 40))
        seen[name] = "done"
    except (OSError, ValueError):
        seen[name] = "EPERM"
tell([seen, libc.prctl(39, 0, 0, 0, 0), os.getresuid(), os.getgroups() in ([], [1000], [65534])])
"""
    seen, no_new_privileges, users, groups = told(run(sandbox, TELL + LIBC + program))
    for name in ("setresuid", "setresgid"):  # no such id in an ordinary user's namespace
        assert seen.pop(name) in ("EPERM", "EINVAL")
    assert {name: answer for name, answer in seen.items() if answer != "EPERM"} == {}
    assert (no_new_privileges, users, groups) == (1, [1000] * 3, True)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="other machines have one way in")
@pytest.mark.parametrize(
    ("way", "code"),
    [("int 0x80", "b814000000cd80c3"), ("x32", "b8270000400f05c3")],
)
def test_other_ways_into_the_kernel_are_closed(sandbox: Sandbox, way: str, code: str) -> None:
    program = f"""
import ctypes, mmap
page = mmap.mmap(-1, 4096, prot=7)
page.write(bytes.fromhex({code!r}))
ask = ctypes.CFUNCTYPE(ctypes.c_long)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
tell(ask())
"""
    result = run(sandbox, TELL + program)
    if way == "x32":
        assert json.loads(result.result) == -38
    else:
        assert (result.status, result.returncode) == ("signalled", -31)

"""What a job looks at to prove the walls of the Landlock level, from inside."""

LOOK = """
import ctypes, json, os, resource, socket

def fails(action, *arguments):
    try:
        action(*arguments)
    except OSError:
        return True
    return False

def refused(family, kind):
    try:
        socket.socket(family, kind).close()
    except OSError:
        return True
    return False

def readable(path):
    return not (fails(os.listdir, path) and fails(open, path))

libc = ctypes.CDLL(None, use_errno=True)
header, data = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
libc.capget(ctypes.byref(header), ctypes.byref(data))
hidden = ["/", "/home", "/root", "/etc", "/etc/passwd", "/proc", "/proc/self/status", "/sys",
          "/tmp", "/var", "/run", "/dev", "/dev/shm", "..", "../..", "../../trees"]
hidden.remove("..")  # the folder of this job
closed = ["/x", "/usr/x", "/usr/lib/x", "/tmp/x", "/var/tmp/x", "/dev/shm/x", "../../x"]
above = os.getppid()
limits = (resource.RLIMIT_DATA, resource.RLIMIT_FSIZE, resource.RLIMIT_NOFILE)
seen = {
    "files": not any(map(readable, hidden)) and all(fails(open, path, "w") for path in closed),
    "workspace": not fails(open, "here", "w") and not fails(os.chmod, "here", 0o600),
    "owner's rights": fails(os.chmod, "../..", 0o700) and fails(os.utime, "../.."),
    "other processes": fails(os.kill, above, 0)
        and fails(resource.prlimit, above, resource.RLIMIT_CORE, (0, 0))
        and libc.ptrace(16, above, 0, 0) == -1,
    "network": all(refused(family, kind) for family in (1, 2, 10, 16, 17, 40) for kind in (1, 2))
        and fails(socket.socketpair, socket.AF_UNIX, socket.SOCK_DGRAM),
    "user": os.getuid() != 0 and os.geteuid() == os.getuid(),
    "capabilities": not any(data),
    "no new privileges": libc.prctl(39, 0, 0, 0, 0) == 1,
    "system-call filter": libc.prctl(21, 0, 0, 0, 0) == 2 and libc.unshare(0x10000000) == -1,
    "resource limits": all(resource.getrlimit(limit)[1] >= 0 for limit in limits),
}
os.write(RESULT_FD, json.dumps(seen).encode())
"""

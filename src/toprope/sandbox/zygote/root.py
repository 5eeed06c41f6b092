"""The worker's own root: read-only, with Python, the system's libraries and nothing else.

Built on a tmpfs inside the worker's mount namespace; the host's tree is detached at the
end, so what is not bound here does not exist for a job.
"""

from __future__ import annotations

import glob
import os
import sys
import sysconfig
from typing import Any

from . import kernel

_OLD = "/.host"
BOX = "/box"
TREES = "/trees"
_TREES_SIZE = "mode=0700,size=1g"
_LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64")
_DATA = ("/usr/share/zoneinfo", "/etc/ld.so.cache")
_TOOLS = ("/bin", "/usr/bin", "/usr/local/bin", "/etc/alternatives", "/usr/share/perl")
# In this user namespace. What is left of the first is the host user's own, who has few.
_KERNEL_LIMITS = {
    "max_inotify_instances": 8,
    "max_inotify_watches": 8192,
    "max_user_namespaces": 0,
}
DEVICES = ("null", "zero", "full", "random", "urandom")
_STATIC = {
    "/etc/passwd": "box:x:1000:1000::/work:/nonexistent\n",
    "/etc/group": "box:x:1000:\n",
    "/etc/hosts": "",
}


def build(outfit: dict[str, Any]) -> int:
    """Make and enter the root; returns a handle on this namespace's /proc, which jobs lack."""
    visible = visible_paths(outfit)
    kernel.mount("none", "/", "", kernel.MS_REC | kernel.MS_PRIVATE)
    kernel.mount("tmpfs", "/tmp", "tmpfs", kernel.MS_NOSUID, "mode=0755,size=1m")
    os.chdir("/tmp")
    os.mkdir(_OLD[1:])
    kernel.pivot_root(".", _OLD[1:])
    os.chdir("/")
    for path in visible:
        _bind(path)
    _hide(third_party(bool(outfit["python"])))
    _hide(outfit["hidden"])
    proc = _open_proc()
    _fill()
    kernel.umount(_OLD)
    os.rmdir(_OLD)
    kernel.mount_attributes("/", kernel.ATTR_RDONLY | kernel.ATTR_NOSUID)
    # What jobs start from. Each job's room takes its tree from here and closes the door.
    kernel.mount("tmpfs", TREES, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, _TREES_SIZE)
    return proc


def visible_paths(outfit: dict[str, Any]) -> list[str]:
    """The host paths a job may read: libraries, the Python prefix, time zones, the outfit's."""
    paths = [*_LIBRARIES, *_DATA, *(f"/dev/{name}" for name in DEVICES), *outfit["shown"]]
    if outfit["tools"]:
        paths += _TOOLS
    prefix = sys.base_prefix
    if sys.prefix != prefix:
        paths.append(sys.prefix)
    if prefix in ("/usr", "/"):
        paths.append(os.path.realpath(sys.executable))
    else:
        paths += [os.path.join(prefix, "lib"), os.path.join(prefix, "bin")]
    paths += [sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")]
    paths += _mapped_directories()
    return _outermost(paths)


def _mapped_directories() -> list[str]:
    """Where the shared libraries of this very process live, for unusual prefixes."""
    with open("/proc/self/maps") as maps:
        files = {line.split(None, 5)[-1].strip() for line in maps}
    return [os.path.dirname(name) for name in sorted(files) if ".so" in os.path.basename(name)]


def _outermost(paths: list[str]) -> list[str]:
    chosen: list[str] = []
    for path in paths:
        inside = any(path == other or path.startswith(other + "/") for other in chosen)
        if not inside and os.path.exists(path):
            chosen.append(path)
    return chosen


def _bind(path: str) -> None:
    """Show a host path at the same place, without devices except the named ones."""
    source = _OLD + path
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if os.path.islink(source):
        os.symlink(os.readlink(source), path)
        return
    if os.path.isdir(source):
        os.makedirs(path, exist_ok=True)
    else:
        open(path, "w").close()
    kernel.mount(source, path, "", kernel.MS_BIND | kernel.MS_REC)
    if not path.startswith("/dev/"):
        kernel.mount_attributes(path, kernel.ATTR_NODEV)


def third_party(furnished: bool) -> list[str]:
    """Folders of third-party packages that are not to be seen.

    All of them, unless the interpreter was chosen for its packages: then only those that it
    does not look into itself.
    """
    libraries = {*_LIBRARIES, os.path.join(sys.base_prefix, "lib"), "/usr/local/lib"}
    found = set()
    for library in libraries:
        for kind in ("site-packages", "dist-packages"):
            found |= set(glob.glob(f"{os.path.realpath(library)}/python*/{kind}"))
    wanted = {os.path.realpath(path) for path in sys.path} if furnished else set()
    return sorted(found - wanted)


def _hide(paths: list[str]) -> None:
    for path in paths:
        if os.path.isdir(path):
            kernel.mount("tmpfs", path, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "size=4k")
        elif os.path.exists(path):
            kernel.mount("/dev/null", path, "", kernel.MS_BIND)


def _open_proc() -> int:
    """Mount this pid namespace's /proc, set the kernel's limits, keep only a handle."""
    os.mkdir("/proc")
    # Only works while another /proc is still visible, so before the old root goes.
    kernel.mount("proc", "/proc", "proc", kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC)
    handle = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    for name, most in _KERNEL_LIMITS.items():
        if os.path.exists(f"/proc/sys/user/{name}"):  # not where the kernel has no inotify
            with open(f"/proc/sys/user/{name}", "w") as limit:
                limit.write(str(most))
    kernel.umount("/proc")
    return handle


def _fill() -> None:
    for path, text in _STATIC.items():
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.write(text)
    os.mkdir(BOX)
    os.mkdir(TREES)
    os.symlink(f"{BOX}/tmp", "/dev/shm")
    for name in ("work", "tmp"):
        if not os.path.lexists(f"/{name}"):  # else something of the host is shown below it
            os.symlink(f"{BOX}/{name}", f"/{name}")

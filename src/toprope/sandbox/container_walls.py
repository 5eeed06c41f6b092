"""The wall around a container: what the engine is told, and the system calls it refuses.

This is the outer of two walls; the worker raises the inner one in it. So the container may
make namespaces, which engines forbid by default, but holds no capability to begin with, is
nobody, and may not do what the inner wall has no use for.
"""

from __future__ import annotations

import json
from typing import Any

from toprope.sandbox.zygote import seccomp

MEMORY = "8g"  # a worker, its trees and one job; a job's own limits are the inner wall's
PROCESSES = "1024"
NOBODY = "65534:65534"  # maps itself into its own namespace, for which it needs no right
# What the worker itself does to raise the inner wall, before any of a job's code runs.
_WORKERS_OWN = {"mount", "umount2", "pivot_root", "unshare", "mount_setattr", "sethostname"}
_FAMILIES_BETWEEN = range(3, 10)  # old protocols, between IPv4 and IPv6
_FAMILIES_FROM = 11  # AF_NETLINK, AF_PACKET, AF_VSOCK and all other later ones
_EPERM = 1


def options(name: str, profile: str) -> list[str]:
    """The options of `run`, the same for every engine; `profile` is the file of `filter_text`."""
    return [
        "--rm", "--pull", "never", "--name", name, "--hostname", "box", "--log-driver", "none",
        "--network", "none", "--read-only", "--tmpfs", "/tmp:size=16m", "--workdir", "/",
        "--memory", MEMORY, "--pids-limit", PROCESSES, "--stop-timeout", "0",
        "--user", NOBODY, "--cap-drop", "ALL", "--security-opt", "no-new-privileges",
        "--security-opt", f"seccomp={profile}",
        # A /proc with covered parts keeps the kernel from mounting one for the inner wall.
        "--security-opt", "systempaths=unconfined",
        # Their usual profiles forbid every mount, and the socket in the shown folder.
        "--security-opt", "apparmor=unconfined", "--security-opt", "label=disable",
        *_no_proxies(),
    ]  # fmt: skip


def _no_proxies() -> list[str]:
    """Engines hand the host's proxies, passwords and all, to containers that have none set."""
    names = [f"{kind}_proxy" for kind in ("http", "https", "ftp", "all", "no")]
    return [part for name in (*names, *map(str.upper, names)) for part in ("--env", f"{name}=")]


def filter_text() -> str:
    """The filter of system calls, in the form that engines read."""
    refused: dict[str, Any] = {"action": "SCMP_ACT_ERRNO", "errnoRet": _EPERM}
    families = [{"index": 0, "value": _FAMILIES_FROM, "op": "SCMP_CMP_GE"}]
    families += [{"index": 0, "value": one, "op": "SCMP_CMP_EQ"} for one in _FAMILIES_BETWEEN]
    profile = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [
            {"names": sorted(set(seccomp.DENIED) - _WORKERS_OWN), **refused},
            *(
                {"names": ["socket", "socketpair"], "args": [family], **refused}
                for family in families
            ),
        ],
    }
    return json.dumps(profile)

"""Why a wall cannot be raised on this host, and what raises it."""

from __future__ import annotations

import errno
import platform
import sys
from pathlib import Path

from toprope.sandbox.engines import NoContainer
from toprope.sandbox.protocol import SandboxUnavailable

_LAST_RESORT = "or accept the risk with --unsafe-local"
_WITHOUT_IMAGE = "give the environment a `python` of this machine instead of an image"
_IN_CONTAINER = (
    "The engine forbids the wall inside although toprope asks for it (seccomp, systempaths and "
    f"apparmor, see docs/threat-model.md): allow these, or {_WITHOUT_IMAGE}."
)


def refusal(
    step: str, number: int | None, error: str, host: Path = Path("/"), image: str = ""
) -> SandboxUnavailable:
    """The error for a wall (`step`) that could not be raised; `host` is the root to look at.

    With `image`, it was to be raised in a container of that image.
    """
    cause, fix = _diagnose(step, number, error, host)
    if not image:
        return SandboxUnavailable((f"{step}: {cause}",), fix)
    if cause == error and not step.startswith(("interpreter", "import ")):
        fix = _IN_CONTAINER
    fix = fix.replace(f", {_LAST_RESORT}", f", or {_WITHOUT_IMAGE}")
    return NoContainer(image, f"{step}, inside the container: {cause}", fix)


def unsupported() -> SandboxUnavailable | None:
    """The refusal for a system on which namespaces do not exist at all."""
    if not sys.platform.startswith("linux"):
        fix = f"Run toprope on Linux or in a Linux virtual machine, {_LAST_RESORT}."
        return SandboxUnavailable((f"namespaces: {sys.platform} has none",), fix)
    if platform.machine() not in ("x86_64", "aarch64"):
        fix = f"Use an x86_64 or aarch64 machine, {_LAST_RESORT}."
        return SandboxUnavailable(
            (f"system-call filter: not written for {platform.machine()}",), fix
        )
    return None


def without_risk(fix: str) -> str:
    """A remedy without the last resort at its end."""
    return fix.replace(f", {_LAST_RESORT}", "")


def _diagnose(step: str, number: int | None, error: str, host: Path) -> tuple[str, str]:
    if step == "interpreter":
        return error, "Give the path of a Python 3.9 or newer that runs here (--python PATH)."
    if step == "packages that every user may read":
        return error, (
            "Jobs never run as root: put the environment where other users can read it, as "
            "`python3 -m venv /opt/toprope` does with an interpreter outside of /root."
        )
    if step == "Landlock":
        return error, _fix(
            "Use Linux 5.13 or newer, with `lsm=landlock,...` on the kernel's command line"
        )
    if step.startswith("import "):
        name = step.removeprefix("import ")
        return error, f"The environment's interpreter lacks {name!r}: install it there."
    if step == "user namespace" and number is None:
        return "every mappable user is the host's root", _fix("Run toprope as an ordinary user")
    if _sysctl(host, "kernel/unprivileged_userns_clone") == "0":
        command = "sudo sysctl -w kernel.unprivileged_userns_clone=1"
        return "forbidden to ordinary users by the kernel's setting", _fix(f"Run `{command}`")
    if _sysctl(host, "kernel/apparmor_restrict_unprivileged_userns") == "1":
        command = "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
        return "restricted by AppArmor", _fix(f"Run `{command}`")
    if _sysctl(host, "user/max_user_namespaces") == "0":
        command = "sudo sysctl -w user.max_user_namespaces=10000"
        return "the kernel's limit on user namespaces is 0", _fix(f"Run `{command}`")
    if number == errno.ENOSYS:
        return f"this kernel lacks the call ({error})", _fix("Use Linux 5.12 or newer")
    if (host / ".dockerenv").exists() or (host / "run/.containerenv").exists():
        options = "--security-opt seccomp=unconfined --security-opt systempaths=unconfined"
        return f"refused by the container ({error})", _fix(f"Start the container with `{options}`")
    return error, _fix("Allow user namespaces to this user (see docs/threat-model.md)")


def _fix(what: str) -> str:
    return f"{what}, {_LAST_RESORT}."


def _sysctl(host: Path, name: str) -> str:
    try:
        return (host / "proc/sys" / name).read_text().strip()
    except OSError:
        return ""

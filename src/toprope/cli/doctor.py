"""`toprope doctor`: what this machine can do, and the exact fix for what it cannot.

One function per line of the answer; each returns a `Finding`. Nothing is downloaded.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from toprope.climb.settings import DEFAULT_STUDENT
from toprope.policy.catalog import find_model
from toprope.policy.convert import is_converted
from toprope.policy.fetch import cached
from toprope.policy.load import converted_folder
from toprope.policy.store import models_folder
from toprope.sandbox import probe

MEMORY_GB, DISK_GB = 7.0, 10.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: what was looked at, whether it is well, whether a climb needs it, the fix."""

    what: str
    ok: bool
    detail: str
    fix: str = ""
    needed: bool = True


def command(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what this machine can do, and the fix for what it cannot."""
    findings = []
    for check in CHECKS:
        findings.append(check())
        if not as_json:
            _print(findings[-1])
    failed = [each for each in findings if each.needed and not each.ok]
    if as_json:
        document = {"ok": not failed, "findings": [asdict(each) for each in findings]}
        typer.echo(json.dumps(document, indent=1, ensure_ascii=False))
    elif failed:
        typer.secho(f"\n{len(failed)} of these must be mended before a climb", fg="red", err=True)
    raise typer.Exit(1 if failed else 0)


def check_python() -> Finding:
    """Python 3.11 or newer."""
    ok = sys.version_info >= (3, 11)
    detail = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    return Finding("Python", ok, detail, "install Python 3.11 or newer (apt install python3)")


def check_cores() -> Finding:
    """The cores that this process may use."""
    cores = len(os.sched_getaffinity(0))
    fix = "it works, but slowly: the times we state are for 2 cores"
    return Finding("cores", cores >= 2, f"{cores}", fix, needed=False)


def check_memory() -> Finding:
    """Memory available now, within a control group's limit."""
    free, total = _memory_gb()
    detail = f"{free:.1f} GB available of {total:.1f} GB"
    fix = f"a climb needs {MEMORY_GB:.0f} GB: close something, or raise the container's limit"
    return Finding("memory", free >= MEMORY_GB, detail, fix)


def check_disk() -> Finding:
    """Room in the working folder, where runs are written."""
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    fix = f"a run with its checkpoints needs {DISK_GB:.0f} GB here: free some space"
    return Finding("disk", free >= DISK_GB, f"{free:.0f} GB free in {Path.cwd()}", fix)


def check_cache() -> Finding:
    """The model cache can be written."""
    folder = models_folder()
    present = next(each for each in (folder, *folder.parents) if each.exists())
    ok = os.access(present, os.W_OK)
    return Finding("model cache", ok, f"{folder}", "set TOPROPE_CACHE to a folder you can write")


def check_libraries() -> Finding:
    """Torch and transformers are installed and start."""
    fix = f"{sys.executable} -m pip install -c constraints.txt torch transformers"
    try:
        from toprope.policy.device import describe_device

        found = f"transformers {version('transformers')}, {describe_device()}"
    except (ImportError, PackageNotFoundError, OSError) as error:
        return Finding("torch", False, f"{error}", fix)
    return Finding("torch", True, found)


def check_sandbox() -> Finding:
    """Walls that contain untrusted code stand here."""
    walls = probe()
    missing = f"missing: {', '.join(walls.missing)}"
    detail = ", ".join(walls.standing) if walls.isolated else missing
    if walls.isolated and walls.missing:
        detail = f"{walls.level} ({detail}); {missing}. {walls.fix}"
    return Finding("sandbox", walls.isolated, detail, walls.fix)


def check_converter() -> Finding:
    """GGUF files can be read, which the offline source of the student needs."""
    missing = [name for name in ("gguf", "accelerate") if find_spec(name) is None]
    detail = f"{', '.join(missing)} is missing" if missing else "installed"
    fix = "pip install 'toprope[gguf]', unless the hub can be reached"
    return Finding("GGUF reader", not missing, detail, fix, needed=False)


def check_student() -> Finding:
    """The default student is on this disk."""
    model = find_model(DEFAULT_STUDENT)
    here = cached(model)
    if here is None:
        detail, fix = (
            f"{DEFAULT_STUDENT} is not here",
            f"toprope models fetch {DEFAULT_STUDENT} (a climb does it)",
        )
        return Finding("student", False, detail, fix, needed=False)
    folder = here.path if here.path.is_dir() else converted_folder(here)
    state = "" if here.path.is_dir() or is_converted(folder) else ", to be converted at first use"
    return Finding("student", True, f"{here.source.gives}{state}", needed=False)


def check_teacher() -> Finding:
    """The live local teacher can be served; the recorded one needs nothing."""
    ok = find_spec("xllamacpp") is not None
    detail = "xllamacpp installed" if ok else "xllamacpp is not installed; recorded attempts work"
    fix = "make teacher, or pip install 'toprope[teacher]', to record a teacher anew"
    return Finding("live teacher", ok, detail, fix, needed=False)


CHECKS: tuple[Callable[[], Finding], ...] = (
    check_python,
    check_cores,
    check_memory,
    check_disk,
    check_cache,
    check_libraries,
    check_sandbox,
    check_converter,
    check_student,
    check_teacher,
)


def _print(finding: Finding) -> None:
    colour = "green" if finding.ok else "red" if finding.needed else "yellow"
    mark = typer.style("✓" if finding.ok else "✗", fg=colour)
    note = "" if finding.ok or finding.needed else " (optional)"
    typer.echo(f"{mark} {finding.what}{note}: {finding.detail}")
    if not finding.ok:
        typer.echo(f"    fix: {finding.fix}")


def _memory_gb() -> tuple[float, float]:
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    table = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines}
    free, total = table["MemAvailable"], table["MemTotal"]
    limit, used = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
    if limit.is_file() and (text := limit.read_text().strip()) != "max":
        total = min(total, int(text))
        free = min(free, int(text) - int(used.read_text()))
    return free / 1e9, total / 1e9

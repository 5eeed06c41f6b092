"""Trees in the worker: unpacked once in memory, shown to each job copy-on-write."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import py_compile
import shutil
from collections.abc import Iterable

from . import changes, files, kernel, users
from .root import TREES

_digests: dict[str, dict[str, bytes]] = {}


def unpack(name: str, texts: dict[str, str], home: str = TREES) -> None:
    """Write a tree's files below `home`, owned by the jobs' user."""
    folder = f"{home}/{name}"
    partial = f"{folder}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    os.mkdir(partial, 0o755)
    before = os.getcwd()
    os.chdir(partial)
    files.write_files(texts)
    for path in texts:
        if path.endswith(".py"):
            _compile(path)
    os.chdir(before)
    if os.geteuid() == 0:
        for path, folders, names in os.walk(partial):
            for entry in (".", *folders, *names):
                os.chown(os.path.join(path, entry), users.JOB, users.JOB)
    os.rename(partial, folder)


def _compile(path: str) -> None:
    """Put compiled code beside a module, bound to its source's hash, so that every import of
    an unchanged module is quick and none of a changed one is stale."""
    mode = py_compile.PycInvalidationMode.CHECKED_HASH
    with contextlib.suppress(Exception):  # what cannot be compiled says so when it is imported
        py_compile.compile(path, doraise=True, invalidation_mode=mode)


def uncover(paths: Iterable[str]) -> None:
    """Remove the compiled code of changed files: it would tell what they were before."""
    for path in paths:
        if path.endswith(".py"):
            with contextlib.suppress(OSError):
                os.unlink(importlib.util.cache_from_source(path))


def digests(name: str, home: str = TREES) -> dict[str, bytes]:
    """The digests of a tree's files, counted once; do not change what is returned."""
    if name not in _digests:
        folder = os.open(f"{home}/{name}", os.O_RDONLY | os.O_DIRECTORY)
        try:
            _digests[name] = changes.digests(folder)
        finally:
            os.close(folder)
    return _digests[name]


def forget(name: str, home: str = TREES) -> None:
    """Remove a tree."""
    _digests.pop(name, None)
    shutil.rmtree(f"{home}/{name}", ignore_errors=True)


def lay(name: str, target: str, over: str) -> None:
    """Mount a tree on `target`; what is changed there goes to `over` and leaves the tree as is."""
    for part in (over, f"{over}/up", f"{over}/work"):
        os.mkdir(part, 0o700)
        if os.geteuid() == 0:
            os.chown(part, users.JOB, users.JOB)
    where = f"lowerdir={TREES}/{name},upperdir={over}/up,workdir={over}/work"
    flags = kernel.MS_NOSUID | kernel.MS_NODEV
    try:
        kernel.mount("overlay", target, "overlay", flags, f"{where},userxattr")
    except OSError:  # a kernel whose tmpfs has no user attributes
        kernel.mount("overlay", target, "overlay", flags, where)

"""Which host paths a job may open where the host's own files cannot be covered.

The same as `root` shows in a namespace. Landlock only ever allows, and allows a folder with
all below it: so where something below is hidden, its neighbours are allowed one by one.
"""

from __future__ import annotations

import os
from typing import Any

from . import landlock, root

_MOST = 20_000


def of(outfit: dict[str, Any], box: str) -> list[tuple[str, int]]:
    """The paths and what each allows: `box` to write, the outfit's to read, devices to use."""
    devices = [f"/dev/{name}" for name in root.DEVICES]
    hidden = {os.path.realpath(path) for path in outfit["hidden"]}
    hidden |= {os.path.realpath(path) for path in root.third_party(bool(outfit["python"]))}
    shown = [os.path.realpath(path) for path in root.visible_paths(outfit)]
    found = [(box, landlock.WRITE)]
    found += [(device, landlock.READ_FILE | landlock.WRITE_FILE) for device in devices]
    for path in sorted(set(shown) - set(devices)):
        found += _around(path, hidden)
    if len(found) > _MOST:
        raise OSError(0, f"more than {_MOST} paths lie beside what is hidden; hide less")
    return found


def _around(path: str, hidden: set[str]) -> list[tuple[str, int]]:
    """All below `path` but the hidden, of which the names can still be listed."""
    if any(path == cover or path.startswith(cover + "/") for cover in hidden):
        return []
    if not any(cover.startswith(path + "/") for cover in hidden):
        return [(path, landlock.READ)]
    found = [(path, landlock.READ_DIR)]  # imports list the folders that they search
    try:
        entries = sorted(entry.path for entry in os.scandir(path) if not entry.is_symlink())
    except OSError:
        return found
    for entry in entries:
        found += _around(entry, hidden)
    return found


def below(path: str, covers: tuple[str, ...]) -> bool:
    """Whether a file lies below one of these folders, or is one of them."""
    real = os.path.realpath(path)
    return any(real == cover or real.startswith(cover + "/") for cover in covers)

"""Empties a folder that untrusted code could fill as it liked, when all of it has ended."""

from __future__ import annotations

import os
import secrets


def wipe(folder: str) -> None:
    """Remove everything below a folder, however deep or closed; raises OSError if it cannot.

    What lies deep is moved up first, so that neither the stack nor a path can grow too long.
    """
    top = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    name, number = secrets.token_hex(8), 0
    try:
        while entries := _listing(top):
            for entry, is_folder in entries:
                if not is_folder:
                    os.unlink(entry, dir_fd=top)
                    continue
                inner = _opened(top, entry)
                try:
                    for child, is_inner in _listing(inner):
                        if not is_inner:
                            os.unlink(child, dir_fd=inner)
                            continue
                        os.close(_opened(inner, child))  # a closed folder cannot be moved
                        os.rename(child, f"{name}-{number}", src_dir_fd=inner, dst_dir_fd=top)
                        number += 1
                finally:
                    os.close(inner)
                os.rmdir(entry, dir_fd=top)
    finally:
        os.close(top)


def _listing(folder: int) -> list[tuple[str, bool]]:
    with os.scandir(folder) as listing:
        return [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in listing]


def _opened(above: int, name: str) -> int:
    os.chmod(name, 0o700, dir_fd=above)
    return os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=above)

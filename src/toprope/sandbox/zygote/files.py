"""One file of a workspace, read or written by trusted hands beside untrusted code.

Every path is walked folder by folder from a descriptor and no link is followed, so that
what is swapped meanwhile cannot lead elsewhere. It knows of no sandbox.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Not blocking: to open a FIFO would otherwise wait for its other end.
_FILE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_WHY = {
    errno.ELOOP: "is a symbolic link, and links are not followed",
    errno.ENOTDIR: "leads through what is not a folder (links are not followed)",
    errno.EISDIR: "is a folder",
    errno.ENXIO: "is not a regular file",
}


class Refused(Exception):
    """A path that cannot be used as a file of the workspace; the message says why."""


def write_files(files: dict[str, str]) -> None:
    """Write a job's files into the current directory, before untrusted code runs there."""
    for path, text in files.items():
        folder = os.path.dirname(path)
        if folder:
            os.makedirs(folder, exist_ok=True)
        with open(path, "wb") as file:
            file.write(as_bytes(text))


def as_bytes(text: str) -> bytes:
    """The bytes of a file's text: UTF-8, and bytes that are none as surrogate escapes."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def read(root: int, path: str, most: int) -> bytes:
    """The content of a regular file of at most `most` bytes, or `Refused`."""
    try:
        with os.fdopen(_reach(root, path, os.O_RDONLY), "rb") as file:
            content = file.read(most + 1)
    except OSError as error:
        raise refusal(path, error) from error
    if len(content) > most:
        raise Refused(f"{path} is larger than {most} bytes")
    return content


def write(root: int, path: str, content: bytes) -> None:
    """Make `content` the whole of a regular file, with the folders above it, or `Refused`."""
    try:
        with os.fdopen(_reach(root, path, os.O_WRONLY | os.O_CREAT), "wb") as file:
            file.truncate(0)
            file.write(content)
    except OSError as error:
        raise refusal(path, error) from error


def descend(root: int, names: list[str], make: bool = False) -> int:
    """A descriptor of the folder that lies below `root` along `names`; raises OSError."""
    folder = os.dup(root)
    for name in names:
        above = folder
        try:
            if make:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(name, dir_fd=above)
            folder = os.open(name, _FOLDER, dir_fd=above)
        finally:
            os.close(above)
    return folder


def open_regular(folder: int, name: str, flags: int = os.O_RDONLY) -> int:
    """A descriptor of a regular file in `folder`; raises OSError for anything else."""
    file = os.open(name, flags | _FILE, 0o644, dir_fd=folder)
    mode = os.fstat(file).st_mode
    if not stat.S_ISREG(mode):
        os.close(file)
        raise OSError(errno.EISDIR if stat.S_ISDIR(mode) else errno.ENXIO, "")
    return file


def refusal(path: str, error: OSError) -> Refused:
    """What to say of a path that the system would not open."""
    number = error.errno or 0
    return Refused(f"{path} {_WHY.get(number) or f'cannot be used: {os.strerror(number)}'}")


def _reach(root: int, path: str, flags: int) -> int:
    names = [name for name in path.split("/") if name not in ("", ".")]
    if path.startswith("/") or ".." in names:
        raise Refused(f"{path} leaves the workspace; give a path relative to it, without ..")
    if not names or not _nameable(path):
        raise Refused(f"{path!r} names no file")
    folder = descend(root, names[:-1], make=bool(flags & os.O_CREAT))
    try:
        return open_regular(folder, names[-1], flags)
    finally:
        os.close(folder)


def _nameable(path: str) -> bool:
    try:
        return b"\0" not in os.fsencode(path)
    except UnicodeEncodeError:
        return False

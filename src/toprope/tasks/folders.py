"""Maps of path to text as files below a folder, and back: never a file outside of it.

Text is UTF-8; bytes that are none are surrogate escapes, as in a `Tree`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from toprope.tasks.soundness import TaskFormatError


def write_files(folder: Path, files: Mapping[str, str], where: str) -> None:
    """Write `files` below `folder`; `where` opens the message of a `TaskFormatError`.

    Refused: a path that leaves the folder or is spelled in a roundabout way, and a text that
    would not be read back the same.
    """
    for path, text in files.items():
        _check_path(path, where)
        data = as_bytes(text)
        if data is None:
            raise TaskFormatError(
                f"{where}: {path!r} holds half characters (surrogates) that are no bytes of a "
                "file; correct its text"
            )
        target = folder / path
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        except (NotADirectoryError, IsADirectoryError, FileExistsError):
            raise TaskFormatError(
                f"{where}: {path!r} needs a folder where another path has a file, or the other "
                "way round; rename one"
            ) from None


def read_files(folder: Path, where: str) -> dict[str, str]:
    """Return every file below `folder`, in the order of their paths; none if it is not there."""
    files = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            raise TaskFormatError(f"{where}: {name!r} is a link; put the file itself there")
        if path.is_file():
            files[name] = as_text(path.read_bytes())
    return files


def as_bytes(text: str) -> bytes | None:
    """Return the bytes that `as_text` reads as `text`, or None if there are none."""
    try:
        data = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return None
    return data if as_text(data) == text else None


def as_text(data: bytes) -> str:
    """Return the text of a file; what is not UTF-8 becomes surrogate escapes."""
    return data.decode("utf-8", "surrogateescape")


def _check_path(path: str, where: str) -> None:
    plain = str(PurePosixPath(path)) == path and path != "."
    if not plain or path.startswith("/") or ".." in path.split("/") or "\0" in path:
        raise TaskFormatError(
            f"{where}: the path {path!r} is not one below the task's folder; write it "
            "relative to the folder and without `..`"
        )
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        raise TaskFormatError(f"{where}: the path {path!r} is no file name; rename it") from None

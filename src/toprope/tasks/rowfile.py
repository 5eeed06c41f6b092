"""JSON rows in a `.jsonl` or `.jsonl.xz` file, one a line; knows nothing of what they hold."""

from __future__ import annotations

import json
import lzma
from collections.abc import Iterable, Iterator
from pathlib import Path

from toprope.tasks.rows import Row
from toprope.tasks.soundness import TaskFormatError


def read_rows(path: Path) -> Iterator[tuple[str, Row]]:
    """Yield each JSON row of a `.jsonl` or `.jsonl.xz` file with where it stands."""
    for number, line in enumerate(_read_text(path).split("\n"), start=1):
        if line.strip():
            where = f"{path} line {number}"
            yield where, _parse_line(line, where)


def json_line(row: Row) -> bytes:
    """Return `row` as one line of canonical JSON: sorted keys, no spaces."""
    text = json.dumps(row, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    if not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
        text = json.dumps(row, sort_keys=True, separators=(",", ":"))  # bytes that are no text
    return text.encode() + b"\n"


def write_lines(lines: Iterable[bytes], path: Path) -> None:
    """Write lines to `path`, aside and then renamed; compressed if it ends in `.xz`."""
    data = b"".join(lines)
    if path.suffix == ".xz":
        data = lzma.compress(data, preset=9 | lzma.PRESET_EXTREME)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(data)
    partial.replace(path)


def _read_text(path: Path) -> str:
    raw = path.read_bytes()
    try:
        return (lzma.decompress(raw) if path.suffix == ".xz" else raw).decode()
    except (lzma.LZMAError, EOFError, UnicodeDecodeError) as fault:
        raise TaskFormatError(f"{path}: cannot be read ({fault}); is the file whole?") from None


def _parse_line(line: str, where: str) -> Row:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as fault:
        raise TaskFormatError(f"{where}: not valid JSON ({fault.msg}); one row a line") from None
    if not isinstance(row, dict):
        raise TaskFormatError(f"{where}: a row must be a JSON object, got {type(row).__name__}")
    return row

"""A recording: one header with provenance, then one row per attempt, as JSON lines.

Reads `.jsonl` and `.jsonl.xz`, appends to `.jsonl` so that a kill loses at most the row
being written. Knows nothing of endpoints or grading.
"""

from __future__ import annotations

import json
import lzma
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from toprope.teacher.prompt import Messages, messages
from toprope.teacher.protocol import Price, TeacherError
from toprope.terms import Attempt, Outcome, Task

FORMAT = 1


class RecordingError(TeacherError):
    """A recording that cannot be read or written."""


@dataclass(frozen=True, slots=True)
class Header:
    """Where a recording came from."""

    teacher: str
    model: str
    licence: str
    server: str
    gguf_sha256: str
    taskset: str
    taskset_hash: str
    parameters: int | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """What was asked and what came back, before anyone judged it."""

    messages: Messages
    text: str
    finish: str
    prompt_tokens: int
    completion_tokens: int
    sampling: Mapping[str, Any]
    seconds: float
    server: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One recorded attempt, failures included: what was asked, what came, what it was worth.

    `server` is the build that gave this answer, as the endpoint itself told it.
    """

    id: str
    task_id: str
    index: int
    messages: Messages
    text: str
    finish: str
    prompt_tokens: int
    completion_tokens: int
    sampling: Mapping[str, Any]
    seconds: float
    outcome: Outcome
    why: str
    action: str | None
    server: str = ""

    def fits(self, task: Task) -> bool:
        """Whether the row is of this task, and the task still reads as it did then."""
        return self.task_id == task.id and self.messages[-1] == messages(task)[-1]

    @property
    def answer(self) -> Answer:
        """The part of the row that does not depend on the task's tests."""
        return Answer(
            self.messages,
            self.text,
            self.finish,
            self.prompt_tokens,
            self.completion_tokens,
            self.sampling,
            self.seconds,
            self.server,
        )

    def attempt(self, teacher: str, price: Price | None = None) -> Attempt:
        """The row as the attempt of a teacher, at what it would cost live."""
        return Attempt(
            id=self.id,
            task_id=self.task_id,
            teacher=teacher,
            prompt=json.dumps(self.messages, ensure_ascii=False),
            text=self.text,
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.completion_tokens,
            outcome=self.outcome,
            why=self.why,
            action=self.action,
            cost_usd=(price or Price()).of(self.prompt_tokens, self.completion_tokens),
        )


@dataclass(frozen=True, slots=True)
class Recording:
    """A header and the rows under it, in the order of writing."""

    header: Header
    rows: tuple[Row, ...]


def read_recording(path: Path) -> Recording:
    """Read a whole recording; a last line that was cut by a kill is left out.

    Raises:
        RecordingError: no such file, no header, another format, or a broken row.
    """
    if not path.is_file():
        raise RecordingError(f"no recording at {path}; make one with `toprope teacher record`")
    raw = path.read_bytes()
    try:
        text = (lzma.decompress(raw) if path.suffix == ".xz" else raw).decode()
    except (lzma.LZMAError, EOFError, UnicodeDecodeError) as fault:
        raise RecordingError(f"{path} cannot be read ({fault}); is the file whole?") from None
    lines = text.split("\n")[:-1]
    if not lines:
        raise RecordingError(f"{path} has no header; is it a recording?")
    header = _header(_parse(lines[0], f"{path} line 1"), str(path))
    rows = [
        _row(_parse(line, f"{path} line {number}"), f"{path} line {number}")
        for number, line in enumerate(lines[1:], start=2)
    ]
    return Recording(header, tuple(rows))


def write_recording(recording: Recording, path: Path) -> None:
    """Write a whole recording at once, compressed if the name ends in `.xz`."""
    lines = [_header_line(recording.header), *map(_row_line, recording.rows)]
    data = "".join(line + "\n" for line in lines).encode()
    if path.suffix == ".xz":
        data = lzma.compress(data, preset=9 | lzma.PRESET_EXTREME)
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(data)
    partial.replace(path)


class Recorder:
    """Appends rows to a recording, each one on disk before the next is asked for."""

    def __init__(self, path: Path, header: Header) -> None:
        if path.suffix != ".jsonl":
            raise RecordingError(f"{path.name}: a growing recording must be a .jsonl file")
        path.parent.mkdir(parents=True, exist_ok=True)
        self.rows: list[Row] = []
        if path.exists() and path.stat().st_size:
            recording = read_recording(path)
            _same_teacher(recording.header, header, path)
            self.rows = list(recording.rows)
            _cut_torn_line(path)
        self._file = path.open("ab")
        if not path.stat().st_size:
            self._write(_header_line(header))

    def add(self, row: Row) -> None:
        """Write one row through to the disk."""
        self._write(_row_line(row))
        self.rows.append(row)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _write(self, line: str) -> None:
        self._file.write(line.encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())


def _same_teacher(old: Header, new: Header, path: Path) -> None:
    for name in ("teacher", "gguf_sha256"):
        was, now = getattr(old, name), getattr(new, name)
        if was != now:
            raise RecordingError(
                f"{path} holds attempts of another teacher ({name} {was!r}, now {now!r}); "
                "record into another file"
            )


def _cut_torn_line(path: Path) -> None:
    raw = path.read_bytes()
    whole = raw.rfind(b"\n") + 1
    if whole < len(raw):
        os.truncate(path, whole)


def _header_line(header: Header) -> str:
    return json.dumps({"kind": "header", "format": FORMAT, **asdict(header)}, ensure_ascii=False)


def _row_line(row: Row) -> str:
    return json.dumps({"kind": "attempt", **asdict(row)}, ensure_ascii=False)


def _parse(line: str, where: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except json.JSONDecodeError as fault:
        raise RecordingError(f"{where}: not valid JSON ({fault.msg})") from None
    if not isinstance(value, dict):
        raise RecordingError(f"{where}: not a JSON object")
    return value


def _header(row: dict[str, Any], where: str) -> Header:
    if row.pop("kind", None) != "header":
        raise RecordingError(f"{where} has no header; is it a recording?")
    if row.pop("format", None) != FORMAT:
        raise RecordingError(f"{where} is of another format; record it again with this version")
    try:
        return Header(**row)
    except TypeError as fault:
        raise RecordingError(f"{where}: the header does not fit ({fault})") from None


def _row(row: dict[str, Any], where: str) -> Row:
    row.pop("kind", None)
    try:
        return Row(**{**row, "outcome": Outcome(row["outcome"])})
    except (TypeError, KeyError, ValueError) as fault:
        raise RecordingError(f"{where}: the row does not fit ({fault})") from None
